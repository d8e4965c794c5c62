// into ← control, with x ← x·count + index for x = batch and cursor, and stride ← stride·count
// Moves nothing of the parameters' size.
// Recorded before each micro-batch; takes the one before it into the account.
//: use control account
struct Share {
    count: u32,
    index: u32,
    unused_0: u32,
    unused_1: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<uniform> share: Share;
@group(0) @binding(2) var<storage, read_write> into: Control;
@group(0) @binding(3) var<storage, read_write> account: Account;
@group(0) @binding(4) var<storage, read_write> part_loss: array<u32>;
@group(0) @binding(5) var<storage, read_write> part_samples: array<u32>;

@compute @workgroup_size(1)
fn main() {
    into = control;
    into.batch = control.batch * share.count + share.index;
    into.cursor = control.cursor * share.count + share.index;
    into.stride = control.stride * share.count;
    if share.index == 0u {
        account = Account();
    } else {
        account = taken(account, part_samples[0], part_loss[0]);
    }
    part_loss[0] = NO_LOSS;
    part_samples[0] = NO_LOSS;
}
