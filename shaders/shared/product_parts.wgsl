// What the forms for GPUs share: which tile and which part of t a workgroup has.
//: if quads
//: use left_quads
//: end
//: if elements
//: use left_elements
//: end

// Whether the column sums of the right operand ride along, as one row more of the output.
override RIDES: bool = false;

// Which part of t the block is of; read by kernels that write partial sums.
var<private> chunk: u32;

struct Part {
    // Of the tile. Beyond all tiles `row` is so large that nothing is stored.
    row: u32,
    column: u32,
    chunk: u32,
    // Steps of t.
    first: u32,
    end: u32,
}

fn part_of(group: u32, rows: u32, columns: u32) -> Part {
    let chunk = group / product.tiles;
    let tile = group % product.tiles;
    let first = chunk * product.chunk_steps;
    let end = min(first + product.chunk_steps, product.steps);
    let row = select(tile / product.tiles_across * rows, product.rows, chunk >= product.chunks);
    return Part(row, tile % product.tiles_across * columns, chunk, first, end);
}

// right[t + i, q + j] as element j of column i.
fn right_block(t: u32, q: u32) -> mat4x4<f32> {
    let at = t * product.right_stride + q / 4u;
    return mat4x4<f32>(
        right[at],
        right[at + product.right_stride],
        right[at + 2u * product.right_stride],
        right[at + 3u * product.right_stride],
    );
}
