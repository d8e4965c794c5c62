// A level of a multi-resolution hash grid (Müller et al. 2022): vertices of a lattice of
// `resolution` cells a side, each with an entry of features. Coarse levels have an entry
// for each vertex; fine ones share a table by a spatial hash. Rust twin:
// src/models/field/encoding.rs. Wants DIMENSIONS of who uses it.
struct GridLevel {
    // Cells a side.
    resolution: u32,
    // Element of the parameters where its table begins.
    first: u32,
    // Entries of the table; a power of two where `dense` is 0.
    entries: u32,
    // 1: an entry for each vertex; 0: hashed.
    dense: u32,
}

// Where a point lies in a level: its cell, and how far along each axis of it.
struct GridPlace {
    cell: vec3<u32>,
    along: vec3<f32>,
}

fn kutta_place(level: GridLevel, point: vec3<f32>) -> GridPlace {
    let scaled = clamp(point, vec3<f32>(0.0), vec3<f32>(1.0)) * f32(level.resolution);
    // At 1 the last cell is the one before.
    let cell = min(vec3<u32>(scaled), vec3<u32>(level.resolution - 1u));
    return GridPlace(cell, scaled - vec3<f32>(cell));
}

// Bit a of `corner`: beyond the cell along axis a.
fn kutta_weight(place: GridPlace, corner: u32) -> f32 {
    var weight = 1.0;
    for (var axis = 0u; axis < DIMENSIONS; axis++) {
        let along = place.along[axis];
        weight *= select(1.0 - along, along, ((corner >> axis) & 1u) == 1u);
    }
    return weight;
}

fn kutta_entry(level: GridLevel, place: GridPlace, corner: u32) -> u32 {
    let beyond = vec3<u32>(corner, corner >> 1u, corner >> 2u) & vec3<u32>(1u);
    let vertex = place.cell + beyond;
    if (level.dense == 1u) {
        let side = level.resolution + 1u;
        if (DIMENSIONS == 2u) {
            return vertex.y * side + vertex.x;
        }
        return (vertex.z * side + vertex.y) * side + vertex.x;
    }
    var hash = vertex.x ^ (vertex.y * 2654435761u);
    if (DIMENSIONS == 3u) {
        hash ^= vertex.z * 805459861u;
    }
    return hash & (level.entries - 1u);
}
