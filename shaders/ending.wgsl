// k finite?, ‖k‖; accept = …; θ ← … if accepted: guard, verdict and advance, one after the other
// Moves what these move.
// Recorded in place of these for few parameters: by one workgroup, without two dispatches.
//: use judge
//: if guarded
//: use guard_group
//: end
//: if combine
//: use combine_group
//: end
//: if finish
//: use finish_group
//: end
//: if commit
//: use commit_group
//: end
// Spans of the vector: what would be as many workgroups.
override GROUPS: u32 = 1u;

//: for w in wide
const WIDE: u32 = {wide[w]}u;
//: end

//: for b in bindings
@group(0) @binding({numbers[b]}) {bindings[b]};
//: end

// Lane 0's, once it has decided.
var<workgroup> decided: Control;

@compute @workgroup_size(WIDE)
fn main(@builtin(local_invocation_index) lane: u32) {
    //: if guarded
    if TAKES_NORM {
        // Each span's root as its own workgroup would leave it: the same bits.
        for (var group = 0u; group < GROUPS; group += 1u) {
            var root = 0.0;
            if lane < LANES {
                root = guard_group(group, lane);
            }
            put_roots(guard.chunk, 0u, group, lane, vec3<f32>(root, 0.0, 0.0));
            storageBarrier();
            workgroupBarrier();
        }
    } else {
        for (var group = lane / LANES; group < GROUPS; group += WIDE / LANES) {
            _ = guard_group(group, lane % LANES);
        }
        storageBarrier();
        workgroupBarrier();
    }
    //: end
    judge(lane);
    if lane == 0u {
        decided = control;
    }
    workgroupBarrier();
    control = decided;
    if control.accept == 0u {
        return;
    }
    for (var group = lane / LANES; group < GROUPS; group += WIDE / LANES) {
        //: if combine
        combine_group(group, lane % LANES);
        //: end
        //: if finish
        finish_group(group, lane % LANES);
        //: end
        //: if commit
        commit_group(group, lane % LANES);
        //: end
    }
}
