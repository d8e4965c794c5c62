// The batch under way: which samples it holds.
struct BatchRows {
    // Samples present: fewer than the batch size at the end of an epoch.
    present: u32,
    // Index of the sample in each row; rows beyond `present` are empty.
    samples: array<u32>,
}
