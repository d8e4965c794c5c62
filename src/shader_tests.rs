//! Every shader, held against Rust and compiled for every backend, without a
//! GPU: with no Mac and no Windows machine at hand, this is the evidence for
//! Metal and DX12.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess, TypeInner};

use crate::batching;
use crate::device::adopt::{KERNELS, Kernels};
use crate::device::kernel::{Access, Constants, Format, Kernel};
use crate::device::library::{LIBRARY, NUMBERS};
use crate::device::traversal::Traversal;
use crate::format::{Rounding, Storage};
use crate::ingredients::{Adaptive, Curvature, Ingredients, Momentum, Preconditioner, Rule};
use crate::kernels::launch::Setting;
use crate::kernels::{average, decay, ending, operations, pack, padding, verdict};
use crate::method::Method;
use crate::plan::{Check, Fusion, Guard, Options, Plan};

/// Every kernel with every override set it is used with. To find them, thousands of plans
/// are made, once for all tests.
static ALL: LazyLock<Vec<(Kernel, Vec<Constants>)>> = LazyLock::new(kernels);

fn kernels() -> Vec<(Kernel, Vec<Constants>)> {
    // With those whose text follows the operation, by their names.
    let mut launched: BTreeMap<&str, (Kernel, Vec<Constants>)> = BTreeMap::new();
    let methods = Method::all().into_iter().chain([widest().into()]);
    for method in methods {
        for (fusion, ingredients) in recipes() {
            for software in [true, false] {
                let walk = Traversal::new(1, software);
                let options = Options { fusion, ..Options::default() };
                let curvature = ingredients.rule.and_then(|rule| rule.curvature());
                let stabilised = matches!(method, Method::Stabilised(_));
                if curvature == Some(Curvature::Stages) && (method.stages() == 1 || stabilised) {
                    continue;
                }
                let judged = method.tableau().b_hat().map(|_| Adaptive::new(1e-3, 1e-6));
                let judged = judged.filter(|_| ingredients.rule.is_none());
                for adaptive in judged.into_iter().map(Some).chain([None]) {
                    let ingredients = Ingredients { adaptive, ..ingredients };
                    let plans = forms(&method, &ingredients, options);
                    let ops = plans.iter().flat_map(|plan| {
                        plan.opening().iter().chain(plan.ops()).chain(plan.renewing())
                    });
                    let setting = Setting::new(&plans[0], walk);
                    let kind = verdict::Kind::default();
                    for launch in ops.filter_map(|op| operations::launch(op, setting, kind)) {
                        // Each binding is given by its name, and no other.
                        assert_eq!(launch.resources().count(), launch.kernel.bindings.len());
                        let (_, sets) = launched
                            .entry(launch.kernel.name)
                            .or_insert_with(|| (*launch.kernel, Vec::new()));
                        sets.push(launch.constants);
                    }
                }
            }
        }
    }
    for (kernel, constants) in endings() {
        launched.entry(kernel.name).or_insert_with(|| (kernel, vec![])).1.push(constants);
    }
    let kind = verdict::Kind { judged: true, ..verdict::Kind::default() };
    let plan = Plan::new(&Method::rk4(), Options::default()).unwrap();
    launched.remove(verdict::VERDICT.name);
    let verdicts = [
        verdict::Kind::default(),
        verdict::Kind { measure: true, ..verdict::Kind::default() },
        kind,
        verdict::Kind { summed: true, clips: true, ..kind },
        verdict::Kind { two: true, summed: true, ..kind },
        verdict::Kind { two: true, ..kind },
        verdict::Kind { reuse: true, ..kind },
        verdict::Kind { reuse: true, reused: true, ..kind },
    ]
    .map(|kind| verdict::launch(&plan, kind).constants)
    .to_vec();
    let both = [true, false].map(|software| Traversal::new(1, software));
    let walks = both.map(|walk| walk.constants()).to_vec();
    let mut all = vec![
        // No recipe has those.
        (average::KERNEL, distinct(walks.clone())),
        (decay::KERNEL, distinct(walks.clone())),
        (pack::KERNEL, distinct(walks.clone())),
        (batching::SHARE, vec![vec![]]),
        (batching::STAGE, vec![vec![]]),
        (batching::ACCUMULATE, {
            let sets = both.iter().flat_map(|walk| {
                let all = Check { norm: true, squares: true };
                [(false, None), (true, None), (true, Some(all))]
                    .map(|(last, check)| batching::accumulating(walk, last, check))
            });
            sets.collect()
        }),
        (padding::KERNEL, vec![vec![]]),
        (verdict::BEGIN, vec![vec![]]),
        (verdict::VERDICT, verdicts),
    ];
    all.extend(launched.into_values().map(|(kernel, sets)| (kernel, distinct(sets))));
    all.extend(crate::models::kernels());
    all
}

/// Every kind of ending, of as many lanes as WebGPU promises and of more.
fn endings() -> Vec<(Kernel, Constants)> {
    let adaptive = Some(Adaptive::new(1e-3, 1e-6));
    let mut all = Vec::new();
    for name in ["euler", "rk4", "bs3", "rkc2:stages=5"] {
        let method: Method = name.parse().unwrap();
        for (fusion, ingredients) in recipes() {
            let judged = method.tableau().b_hat().map(|_| adaptive);
            for adaptive in judged.filter(|_| ingredients.rule.is_none()).into_iter().chain([None])
            {
                let ingredients = Ingredients { adaptive, ..ingredients };
                let options = Options { fusion, ..Options::default() };
                for plan in forms(&method, &ingredients, options) {
                    for software in [true, false] {
                        let setting = Setting::new(&plan, Traversal::new(5_000, software));
                        let judged = adaptive.is_some();
                        let kind = verdict::Kind { judged, ..verdict::Kind::default() };
                        let lanes = if software { 1024 } else { 256 };
                        let found = |at| ending::launch(&plan.ops()[at..], setting, kind, lanes);
                        for (launch, _) in (0..plan.ops().len()).filter_map(found) {
                            assert_eq!(launch.resources().count(), launch.kernel.bindings.len());
                            all.push((*launch.kernel, launch.constants));
                        }
                    }
                }
            }
        }
    }
    all
}

/// Endings bind what three kernels do; where a device has no room for that, they stay three.
fn is_ending(kernel: &Kernel) -> bool {
    kernel.name.starts_with("ending.")
}

/// The plan, and with registers those that the source adds to or that are θ itself.
fn forms(method: &Method, ingredients: &Ingredients, options: Options) -> Vec<Plan> {
    let plan = |options| Plan::with_ingredients(method, ingredients, options).ok();
    let off = Options { guard: Guard::Off, ..options };
    let others = [off, Options { adds: true, ..off }, Options { adds: true, ..options }];
    let others = others.into_iter().filter_map(plan);
    plan(options).into_iter().chain(others).collect()
}

/// Both fusions plain, and fused every preconditioner with every momentum.
fn recipes() -> Vec<(Fusion, Ingredients)> {
    let mut recipes = vec![(Fusion::None, Ingredients::default())];
    for preconditioner in [
        Preconditioner::None,
        Preconditioner::adagrad_rescaled(),
        Preconditioner::adagrad(1e-8),
        Preconditioner::rmsprop(0.9, 1e-8),
        Preconditioner::adam(0.9, 1e-8),
        Preconditioner::amsgrad(0.9, 1e-8),
    ] {
        for momentum in
            [Momentum::None, Momentum::heavy_ball(0.9), Momentum::nesterov(0.9), Momentum::ema(0.9)]
        {
            let ingredients = Ingredients { preconditioner, momentum, ..Ingredients::default() };
            recipes.push((Fusion::Full, ingredients));
        }
    }
    for rule in [
        Rule::Polyak { h_max: 1.0 },
        Rule::SgdG2 { h: 0.1, beta: 0.9 },
        Rule::Dal { p: 1.0, h_max: 5.0, from: Curvature::Probe },
        Rule::RescaledDal { c: 0.1, p: 1.0, from: Curvature::Stages },
    ] {
        for preconditioner in [Preconditioner::None, Preconditioner::adam(0.9, 1e-8)] {
            let rule = Some(rule);
            let ingredients = Ingredients { preconditioner, rule, ..Ingredients::default() };
            recipes.push((Fusion::Full, ingredients));
        }
    }
    recipes
}

/// A tableau whose rows have more gradients than one kernel binds.
fn widest() -> crate::Tableau {
    let stages = 9;
    let a: Vec<Vec<f64>> = (0..stages).map(|i| vec![1.0 / (i as f64 + 3.0); i]).collect();
    crate::Tableau::new("widest", &a, &vec![1.0 / stages as f64; stages], None).unwrap()
}

fn distinct(sets: Vec<Constants>) -> Vec<Constants> {
    let mut seen = BTreeSet::new();
    sets.into_iter().filter(|set| seen.insert(format!("{set:?}"))).collect()
}

/// Validates a kernel with all vectors that may be narrow in one format.
fn validated(kernel: &Kernel, format: Format) -> (Module, ModuleInfo) {
    let formats = kernel.vectors.iter().map(|&name| (name, format)).collect();
    let source = kernel.source(&formats);
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&source)));
    let mut capabilities = Capabilities::empty();
    for (word, capability) in [
        // WGSL's own, which only some OpenGL has not.
        ("unpack2x16float", Capabilities::SHADER_FLOAT16_IN_FLOAT32),
        ("enable f16;", Capabilities::SHADER_FLOAT16),
        ("enable wgpu_cooperative_matrix;", Capabilities::COOPERATIVE_MATRIX),
    ] {
        capabilities.set(capability, source.contains(word));
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&source)));
    (module, info)
}

#[test]
fn every_file_has_a_kernel_and_a_header() {
    // `product.register` and `product.workgroup` are two builds of one file.
    let file = |kernel: &Kernel| kernel.name.split('.').next().unwrap_or_default().to_owned();
    let registered: BTreeSet<String> = ALL.iter().map(|(k, _)| file(k)).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "wgsl") {
            let text = std::fs::read_to_string(&path).unwrap();
            let header = text.lines().take_while(|line| line.starts_with("//")).count();
            assert!(header >= 3, "{path:?} needs its formula, its words, its callers");
            files.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(registered, files);
}

/// The expansion of every kernel's text tells a name that is missing, and a circle.
#[test]
fn every_shared_file_is_in_the_library_and_used() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let texts = |folder: &str| -> BTreeMap<String, String> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.extension().is_some_and(|e| e == "wgsl"));
        let name = |path: &std::path::Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        files.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
    };
    let shared = texts(&format!("{folder}/shared"));
    let mut used: BTreeSet<&str> = ["f16", "bf16"].into();
    let own = texts(folder);
    for line in own.values().chain(shared.values()).flat_map(|text| text.lines()) {
        if let Some(names) = line.trim_start().strip_prefix("//: use ") {
            used.extend(names.split_whitespace());
        }
    }
    let files: BTreeSet<&str> = shared.keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = LIBRARY.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, files, "src/device/library.rs lists the files of shaders/shared");
    let numbers = NUMBERS.iter().map(|(name, _)| *name);
    assert_eq!(used, known.into_iter().chain(numbers).collect());
}

#[test]
fn bindings_agree_with_rust() {
    for (kernel, _) in ALL.iter() {
        let (module, _) = validated(kernel, Format::default());
        for name in kernel.vectors {
            assert!(kernel.bindings.iter().any(|(b, _)| b == name), "{}: {name}", kernel.name);
        }
        let mut found: Vec<(u32, String, Access)> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let binding = variable.binding?;
                assert_eq!(binding.group, 0, "{}", kernel.name);
                let access = match variable.space {
                    AddressSpace::Uniform => Access::Uniform,
                    AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                        Access::Write
                    }
                    AddressSpace::Storage { .. } => Access::Read,
                    other => panic!("{}: {other:?}", kernel.name),
                };
                Some((binding.binding, variable.name.clone().unwrap(), access))
            })
            .collect();
        found.sort_by_key(|f| f.0);
        let declared: Vec<_> = (0u32..)
            .zip(kernel.bindings)
            .map(|(i, (name, access))| (i, (*name).to_owned(), *access))
            .collect();
        assert_eq!(found, declared, "{}", kernel.name);
        let storage = declared.iter().filter(|d| d.2 != Access::Uniform).count();
        assert!(
            storage <= 8 || is_ending(kernel),
            "{}: {storage} storage buffers, WebGPU promises 8",
            kernel.name
        );
    }
}

#[test]
fn structs_agree_with_rust() {
    for (kernel, _) in ALL.iter() {
        let (module, _) = validated(kernel, Format::default());
        for layout in kernel.structs {
            let what = format!("struct {} of {}", layout.name, kernel.name);
            let (_, ty) = module
                .types
                .iter()
                .find(|(_, ty)| ty.name.as_deref() == Some(layout.name))
                .unwrap_or_else(|| panic!("{what} is not in the shader"));
            let TypeInner::Struct { members, span } = &ty.inner else { panic!("{what}") };
            let found: Vec<(&str, usize)> = members
                .iter()
                .map(|m| (m.name.as_deref().unwrap_or(""), m.offset as usize))
                .collect();
            assert_eq!(found, layout.fields, "{what}");
            assert_eq!(*span as usize, layout.size, "{what}");
        }
        // Whatever Rust writes must be declared, or nothing above holds it.
        let uniforms = kernel.bindings.iter().filter(|b| b.1 == Access::Uniform).count();
        assert!(kernel.structs.len() >= uniforms, "{}: a uniform without its layout", kernel.name);
    }
}

/// A device must give what the kernels take, no more and no less.
#[test]
fn the_limits_asked_for_are_those_of_the_kernels() {
    let mut most = Kernels {
        lanes: 0,
        workgroup: [0; 3],
        workgroup_bytes: 0,
        uniforms: 0,
        uniform_bytes: 0,
        storage_buffers: 0,
        bindings: 0,
    };
    // Those that keep more in workgroup memory are chosen where a device has it; endings, where
    // it binds more buffers.
    let own = |kernel: &Kernel| kernel.name.contains(".kept") || is_ending(kernel);
    for (kernel, _) in ALL.iter().filter(|(kernel, _)| !own(kernel)) {
        let (module, _) = validated(kernel, Format::default());
        let bytes_in = |space: AddressSpace| {
            let variables = module.global_variables.iter().filter(move |(_, v)| v.space == space);
            variables.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
        };
        let [x, y, z] = module.entry_points[0].workgroup_size;
        most.lanes = most.lanes.max(x * y * z);
        for (most, size) in most.workgroup.iter_mut().zip([x, y, z]) {
            *most = size.max(*most);
        }
        most.workgroup_bytes =
            most.workgroup_bytes.max(bytes_in(AddressSpace::WorkGroup).sum::<u32>());
        let uniform = bytes_in(AddressSpace::Uniform).max().unwrap_or(0);
        most.uniform_bytes = most.uniform_bytes.max(uniform.into());
        let uniforms = kernel.bindings.iter().filter(|b| b.1 == Access::Uniform).count() as u32;
        let all = kernel.bindings.len() as u32;
        most.uniforms = most.uniforms.max(uniforms);
        most.storage_buffers = most.storage_buffers.max(all - uniforms);
        most.bindings = most.bindings.max(all);
    }
    assert_eq!(most, KERNELS);
}

/// Every format, the narrow ones with the rounding that needs more.
fn formats() -> Vec<Format> {
    let format = |storage, rounding| Format { storage, rounding };
    vec![
        Format::default(),
        format(Storage::F16, Rounding::Nearest),
        format(Storage::F16, Rounding::Stochastic),
        format(Storage::Bf16, Rounding::Nearest),
        format(Storage::Bf16, Rounding::Stochastic),
    ]
}

/// The kernels by matrix units, which no device of these tests has.
#[test]
fn matrix_units_compile_for_vulkan_and_metal() {
    let mut compiled = BTreeSet::new();
    for (kernel, sets) in crate::models::kernels() {
        if !kernel.text.iter().any(|text| text.starts_with("//: set") && text.contains(" matrix "))
        {
            continue;
        }
        let (module, info) = validated(&kernel, Format::default());
        for set in &sets {
            compiles(&module, &info, set, &format!("{} {set:?}", kernel.name));
        }
        compiled.insert(kernel.name);
    }
    // Three units, of five kernels each.
    assert_eq!(compiled.len(), 15, "{compiled:?}");
}

#[test]
fn every_override_set_compiles_for_every_backend() {
    let mut compiled = 0;
    for (kernel, sets) in ALL.iter() {
        assert!(!sets.is_empty(), "{} is used with no override set", kernel.name);
        let formats = if kernel.vectors.is_empty() { vec![Format::default()] } else { formats() };
        for (i, format) in formats.into_iter().enumerate() {
            let (module, info) = validated(kernel, format);
            // The sets differ in how much is read, not in how: some will do.
            let sets = sets.iter().step_by(if i == 0 { 1 } else { sets.len().div_ceil(8) });
            for set in sets {
                let what = format!("{} {} {set:?}", kernel.name, format.storage);
                compiles(&module, &info, set, &what);
                compiled += 1;
            }
        }
    }
    assert!(compiled > 40, "only {compiled} override sets");
}

fn compiles(module: &Module, info: &ModuleInfo, set: &Constants, what: &str) {
    let constants = set.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let entry = (ShaderStage::Compute, "main");
    let (module, info) = process_overrides(module, info, Some(entry), &constants)
        .unwrap_or_else(|e| panic!("{what}: {e}"));

    let options = spv::Options { lang_version: (1, 0), ..spv::Options::default() };
    let pipeline = spv::PipelineOptions { shader_stage: entry.0, entry_point: entry.1.into() };
    let words = spv::write_vec(&module, &info, &options, Some(&pipeline));
    assert!(words.is_ok_and(|w| w.len() > 20), "{what}: SPIR-V");

    // Matrix units are Vulkan's and Metal's alone.
    let by_unit =
        |(_, ty): (_, &naga::Type)| matches!(ty.inner, TypeInner::CooperativeMatrix { .. });
    let by_unit = module.types.iter().any(by_unit);
    let mut options = msl::Options::default();
    if by_unit {
        options.lang_version = (2, 3);
    }
    let (text, translation) =
        msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
            .unwrap_or_else(|e| panic!("{what}: MSL: {e}"));
    assert!(translation.entry_point_names.iter().all(Result::is_ok), "{what}: MSL");
    assert!(text.contains("kernel void"), "{what}: MSL has no kernel");
    assert_eq!(text.contains("simdgroup_multiply_accumulate"), by_unit, "{what}");
    if by_unit {
        return;
    }

    let options = hlsl::Options::default();
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&module, &info, None)
        .unwrap_or_else(|e| panic!("{what}: HLSL: {e}"));
    assert!(reflection.entry_point_names.iter().all(Result::is_ok), "{what}: HLSL");
    assert!(text.contains("[numthreads("), "{what}: HLSL has no kernel");
}

/// Reads and writes of the control block in memory that a call comes to: each a load or a store
/// that lane 0 may have to wait for before it goes on.
fn control_accesses(module: &Module, function: &naga::Function, name: &str) -> [usize; 2] {
    use naga::{Expression, Statement};
    let is_control = |mut pointer| loop {
        match function.expressions[pointer] {
            Expression::AccessIndex { base, .. } | Expression::Access { base, .. } => {
                pointer = base
            }
            Expression::GlobalVariable(global) => {
                let variable = &module.global_variables[global];
                let stored = matches!(variable.space, AddressSpace::Storage { .. });
                return stored && variable.name.as_deref() == Some(name);
            }
            _ => return false,
        }
    };
    let mut accesses = [0, 0];
    for (_, expression) in function.expressions.iter() {
        if let Expression::Load { pointer } = expression {
            accesses[0] += usize::from(is_control(*pointer));
        }
    }
    let mut blocks = vec![&function.body];
    while let Some(block) = blocks.pop() {
        for statement in block {
            match statement {
                Statement::Store { pointer, .. } => {
                    accesses[1] += usize::from(is_control(*pointer))
                }
                Statement::Call { function, .. } => {
                    let inner = control_accesses(module, &module.functions[*function], name);
                    accesses = [accesses[0] + inner[0], accesses[1] + inner[1]];
                }
                Statement::Block(block) => blocks.push(block),
                Statement::If { accept, reject, .. } => blocks.extend([accept, reject]),
                Statement::Switch { cases, .. } => {
                    blocks.extend(cases.iter().map(|case| &case.body))
                }
                Statement::Loop { body, continuing, .. } => blocks.extend([body, continuing]),
                _ => {}
            }
        }
    }
    accesses
}

/// A load that another waits for is some 35 ns on an H100. Word by word there were 103 in this
/// text, in all its branches, and 45 stores.
#[test]
fn a_verdict_loads_the_control_block_at_once() {
    let (module, _) = validated(&verdict::VERDICT, Format::default());
    let accesses = control_accesses(&module, &module.entry_points[0].function, "block");
    // Beside the block as a whole the number of accepted steps and the zero, for all lanes.
    assert_eq!(accesses, [3, 1]);
}
