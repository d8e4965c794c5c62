//! Random optimizers on a quartic, for properties and endurance.
#![allow(dead_code)] // Each test binary uses its own part.

use kutta::models::Analytic;
use kutta::optimizer::Builder;
use kutta::reference::{Problem, textbook};
use kutta::{
    Adaptive, Controller, Fusion, Group, Guard, Ingredients, Init, Method, Momentum, Optimizer,
    ParamLayout, Preconditioner, Rejection, Report, Rounding, SpectralRadius, StepSize, Storage,
    Stored, Tableau, Verdict,
};
use proptest::prelude::*;

use super::common::{gpu, noise, writing};

#[derive(Clone, Debug)]
pub struct Case {
    pub method: Method,
    /// Lengths of the tensors, and the group of each.
    pub tensors: Vec<(usize, u32)>,
    /// Rate and decay of each group; none: no groups.
    pub groups: Vec<[f64; 2]>,
    pub ingredients: Ingredients,
    pub step_size: Option<StepSize>,
    pub fusion: Fusion,
    pub guard: Guard,
    pub bindings: u32,
    pub chunk: usize,
    pub per_submit: u32,
    pub theta_free: bool,
    pub seed: u64,
}

impl Case {
    pub fn layout(&self) -> ParamLayout {
        let add = |layout: kutta::layout::ParamLayoutBuilder,
                   (i, &(n, group)): (usize, &(usize, u32))| {
            layout.tensor_in_group(group, format!("t{i}"), &[n], Init::Zeros)
        };
        let tensors = self.tensors.iter().enumerate();
        tensors.fold(ParamLayout::builder(), add).build().unwrap()
    }

    pub fn start(&self) -> Vec<f32> {
        let layout = self.layout();
        let mut flat = noise(layout.len(), self.seed);
        for (i, x) in flat.iter_mut().enumerate() {
            if layout.locate(i).is_none() {
                *x = 0.0;
            }
        }
        flat
    }

    pub fn source(&self) -> Analytic {
        let layout = self.layout();
        let source = Analytic::new(gpu(), &Problem::Quartic, layout.len()).unwrap();
        source.with_layout(&layout).unwrap()
    }

    pub fn builder(&self) -> Builder {
        let groups: Vec<Group> = self
            .groups
            .iter()
            .map(|&[rate, decay]| Group::default().rate(rate).decay(decay))
            .collect();
        let mut builder = Optimizer::builder(self.method.clone())
            .ingredients(self.ingredients)
            .groups(&groups)
            .fusion(self.fusion)
            .guard(self.guard)
            .bindings(self.bindings)
            .elements_per_binding(self.chunk)
            .attempts_per_submit(self.per_submit)
            .theta_free(self.theta_free)
            .source(&writing(true));
        if let Some(step_size) = &self.step_size {
            builder = builder.step_size(step_size.clone());
        }
        builder
    }

    pub fn build(&self) -> Optimizer {
        self.builder().build(gpu(), &self.layout(), &self.start()).unwrap()
    }

    /// Multipliers of D and decay for every element.
    pub fn multipliers(&self) -> Vec<[f64; 2]> {
        let layout = self.layout();
        let of = |i: usize| {
            let group = layout.locate(i).map_or(0, |t| t.group() as usize);
            self.groups.get(group).copied().unwrap_or([1.0; 2])
        };
        // What kernels take is an f32.
        (0..layout.len()).map(|i| of(i).map(|x| f64::from(x as f32))).collect()
    }

    /// θ of the textbook from a start, with the device's own h and verdicts; and what the
    /// errors of the attempts are there.
    pub fn book(&self, start: &[f64], reports: &[Report]) -> (Vec<f64>, Vec<f64>) {
        let mut recipe = self.ingredients;
        recipe.adaptive = recipe.adaptive.map(|adaptive| adaptive.for_method(&self.method));
        let layout = self.layout();
        // The textbook takes padding for parameters, whose errors are zero.
        let among = (layout.len() as f64 / layout.parameters() as f64).sqrt();
        let mut book = textbook::Trainer::new(self.method.tableau(), recipe, start)
            .with_groups(self.multipliers());
        let attempt = |report: &Report| {
            let mut gradient = |_: usize, x: &[f64]| Problem::Quartic.gradient(x);
            let mut next = book.clone();
            let error = next.attempt(f64::from(report.h), &mut gradient).unwrap();
            if report.verdict == Verdict::Accepted {
                book = next;
            }
            error * among
        };
        let errors = reports.iter().map(attempt).collect();
        (book.theta().to_vec(), errors)
    }
}

/// A consistent explicit tableau in sixteenths, every row and weight below 1 in size but
/// for the last weight, which makes the sum one; with embedded weights or not.
pub fn tableau() -> impl Strategy<Value = Tableau> {
    (1usize..=6).prop_flat_map(|stages| {
        let entries = stages * (stages - 1) / 2;
        let weights = || prop::collection::vec(sixteenths(), stages);
        (prop::collection::vec(sixteenths(), entries), weights(), prop::option::of(weights()))
            .prop_map(move |(a, b, b_hat)| {
                let mut rest = a.as_slice();
                let rows: Vec<Vec<f64>> = (0..stages)
                    .map(|i| {
                        let (row, after) = rest.split_at(i);
                        rest = after;
                        row.to_vec()
                    })
                    .collect();
                let consistent = |mut b: Vec<f64>| {
                    b[stages - 1] = 1.0 - b[..stages - 1].iter().sum::<f64>();
                    b
                };
                let b = consistent(b);
                let plain = Tableau::new("random", &rows, &b, None).unwrap();
                match b_hat.map(consistent) {
                    Some(b_hat) if b_hat != b => plain.with_embedded(&b_hat).unwrap(),
                    _ => plain,
                }
            })
    })
}

/// Zero in a third of all cases: what is left out is where plans differ.
fn sixteenths() -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(0.0), 2 => (-16i32..=16).prop_map(|k| f64::from(k) / 16.0)]
}

fn named() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        "euler",
        "heun",
        "rk4",
        "bs3",
        "dp5",
        "tsit5",
        "williamson3",
        "carpenter-kennedy",
        "rdpk3sp35",
        "rkc1:stages=4",
        "rkc2:stages=5",
        "rkl2:stages=5",
        "rock2:stages=5",
    ])
    .prop_map(|name| name.parse().unwrap())
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![2 => tableau().prop_map(Method::from), 1 => named()]
}

fn preconditioner() -> impl Strategy<Value = Preconditioner> {
    prop_oneof![
        3 => Just(Preconditioner::none()),
        1 => Just(Preconditioner::adagrad_rescaled()),
        1 => (0.1f64..1.0).prop_map(Preconditioner::adagrad),
        1 => (0.5f64..0.99, 0.1f64..1.0).prop_map(|(rho, eps)| Preconditioner::rmsprop(rho, eps)),
        1 => (0.5f64..0.999, 0.1f64..1.0).prop_map(|(beta, eps)| Preconditioner::adam(beta, eps)),
        1 => (0.5f64..0.999, 0.1f64..1.0).prop_map(|(beta, eps)| Preconditioner::amsgrad(beta, eps)),
    ]
}

fn momentum() -> impl Strategy<Value = Momentum> {
    prop_oneof![
        3 => Just(Momentum::none()),
        1 => (0.1f64..0.95).prop_map(Momentum::heavy_ball),
        1 => (0.1f64..0.95).prop_map(Momentum::nesterov),
        1 => (0.1f64..0.95).prop_map(Momentum::ema),
    ]
}

fn adaptive() -> impl Strategy<Value = Adaptive> {
    let controllers = prop::sample::select(vec![Controller::I, Controller::Pi, Controller::pid()]);
    (controllers, any::<bool>(), 1e-4f64..1e-1).prop_map(|(controller, skip, tolerance)| {
        let rejection = if skip { Rejection::Skip } else { Rejection::Retry };
        // Bounded, so that a method that is no good still goes on.
        Adaptive::new(tolerance, tolerance)
            .controller(controller)
            .rejection(rejection)
            .bounds(1e-9, 0.1)
            .most_rejections(1000)
    })
}

fn sizes() -> impl Strategy<Value = Vec<(usize, u32)>> {
    let length = prop_oneof![
        3 => 1usize..=200,
        1 => prop::sample::select(vec![1usize, 3, 63, 64, 65, 255, 257, 4095, 4097, 9001]),
    ];
    prop::collection::vec((length, 0u32..3), 1..=4)
}

pub fn case() -> impl Strategy<Value = Case> {
    let ingredients = (
        preconditioner(),
        momentum(),
        prop_oneof![2 => Just(0.0), 1 => 0.0f64..0.1],
        prop_oneof![2 => Just(0.0), 1 => 0.0f64..0.1],
        prop::option::weighted(0.3, 0.1f64..0.99),
        prop::option::weighted(0.3, 0.1f64..10.0),
        prop::option::weighted(0.5, adaptive()),
    );
    let rates = [0.0f64, 0.25, 1.0, 1.5];
    let groups =
        prop::option::weighted(0.4, prop::collection::vec(prop::sample::select(rates.to_vec()), 6));
    let options = (
        prop::sample::select(vec![Fusion::None, Fusion::Stage, Fusion::Full]),
        prop::sample::select(vec![8u32, 10, 16]),
        prop::sample::select(vec![1usize, 4096, 8192, usize::MAX]),
        prop::sample::select(vec![1u32, 3, 32]),
        any::<bool>(),
    );
    // h from ρ, estimated on the device, which the oracle then takes as it was reported.
    let step = (0.002f32..0.05, prop::bool::weighted(0.25));
    (method(), sizes(), groups, ingredients, options, step, any::<u64>()).prop_map(
        |(method, tensors, rates, ingredients, options, (h, stable), seed)| {
            let (preconditioner, momentum, weight_decay, l2, average, clip, adaptive) = ingredients;
            let (fusion, bindings, chunk, per_submit, theta_free) = options;
            let judged = method.tableau().b_hat().is_some();
            let mut groups: Vec<[f64; 2]> = rates
                .map(|rates| rates.chunks(2).map(|pair| [pair[0], pair[1]]).collect())
                .unwrap_or_default();
            // At least one group that is there must move.
            if !groups.is_empty() {
                groups[tensors[0].1 as usize][0] = 1.0;
            }
            let adaptive = adaptive.filter(|_| judged);
            let stable = stable && adaptive.is_none();
            let step_size = match stable {
                true => StepSize::stable(0.5, f64::from(h)),
                false => StepSize::constant(h),
            };
            Case {
                method,
                tensors,
                groups,
                ingredients: Ingredients {
                    preconditioner,
                    momentum,
                    weight_decay,
                    l2,
                    average,
                    adaptive,
                    clip,
                    radius: match stable {
                        true => SpectralRadius::Estimated,
                        false => SpectralRadius::Given(1.0),
                    },
                    ..Ingredients::default()
                },
                step_size: Some(step_size),
                fusion,
                guard: Guard::On,
                bindings,
                chunk,
                per_submit,
                theta_free,
                seed,
            }
        },
    )
}

/// Any storage, any step size, stages that vary: what has no oracle to the last digit, and
/// must resume to the last bit.
pub fn any_case() -> impl Strategy<Value = Case> {
    let storage = || prop::sample::select(vec![Storage::F32, Storage::F16, Storage::Bf16]);
    let stored = (storage(), storage(), storage(), any::<bool>()).prop_map(
        |(gradients, momentum, second, stochastic)| {
            let rounding = if stochastic { Rounding::Stochastic } else { Rounding::Nearest };
            Stored { gradients, momentum, second, rounding }
        },
    );
    let steps = prop::sample::select(vec![
        None,
        Some("cosine:from=0.05,to=0.001,steps=30,warm-up=5"),
        Some("rescaled-dal:c=0.05,p=1,from=probe"),
        Some("polyak:h-max=0.05"),
        Some("sgd-g2:h=0.01,beta=0.9"),
        Some("stable:fraction=0.9,h-max=0.1"),
    ]);
    let varying =
        prop::option::weighted(0.2, prop::sample::select(vec!["rkc1", "rkc2", "rkl1", "rkl2"]));
    (case(), prop::option::weighted(0.5, stored), steps, any::<bool>(), varying).prop_map(
        |(mut case, stored, steps, estimated, varying)| {
            if let Some(name) = varying {
                case.method = name.parse().unwrap();
                if case.method.tableau().b_hat().is_none() {
                    case.ingredients.adaptive = None;
                }
            }
            case.ingredients.stored = stored.unwrap_or_default();
            if case.ingredients.adaptive.is_none()
                && let Some(text) = steps
            {
                case.step_size = Some(text.parse().unwrap());
            }
            if estimated {
                case.ingredients.radius = SpectralRadius::Estimated;
            }
            case
        },
    )
}
