// A copy, over the part of a workgroup. Wants the bindings `commit`, `dst` and `src`.
//: use traversal
struct Commit {
    chunk: Chunk,
}

fn commit_group(workgroup: u32, lane: u32) {
    let mine = run_of(commit.chunk, workgroup, lane);
    for (var i = mine.first; i < mine.end; i += RUN) {
        dst[i] = narrow_dst(wide_src(src[i]));
    }
}
