//! The controls, the curve, and where the images go.

use egui::{Align2, Color32, FontId, Pos2, Rect, Sense, Stroke, Ui, Vec2};
use kutta::{Momentum, Preconditioner};

use super::panels::GAIN;
use super::session::{METHODS, Session};

const CURVE: Color32 = Color32::from_rgb(0x5a, 0xb4, 0xf0);
const CHANGE: Color32 = Color32::from_rgb(0xd8, 0x8a, 0x3a);
const CURVE_HEIGHT: f32 = 190.0;
const GAP: f32 = 12.0;

/// Draws everything but the images, whose rectangles (in points) it returns.
pub fn draw(ui: &mut Ui, session: &mut Session, name: &str) -> Vec<Rect> {
    egui::Panel::top("controls").show(ui, |ui| {
        ui.add_space(4.0);
        ui.horizontal_wrapped(|ui| controls(ui, session));
        ui.add_space(4.0);
    });
    egui::Panel::bottom("curve").exact_size(CURVE_HEIGHT).show(ui, |ui| curve(ui, session));
    let frame = egui::Frame::NONE.inner_margin(GAP);
    egui::CentralPanel::default().frame(frame).show(ui, |ui| images(ui, session, name)).inner
}

fn controls(ui: &mut Ui, session: &mut Session) {
    let choice = &mut session.choice;
    egui::ComboBox::new("method", "").selected_text(&choice.method).show_ui(ui, |ui| {
        for (i, method) in METHODS.iter().enumerate() {
            let text = format!("{}  {method}", i + 1);
            ui.selectable_value(&mut choice.method, (*method).to_owned(), text);
        }
    });
    let preconditioners = [
        ("no preconditioner", Preconditioner::none()),
        ("adam", Preconditioner::adam(0.99, 1e-6)),
        ("rmsprop", Preconditioner::rmsprop(0.99, 1e-6)),
        ("rescaled adagrad", Preconditioner::adagrad_rescaled()),
    ];
    pick(ui, "preconditioner", &mut choice.preconditioner, &preconditioners);
    let momenta = [
        ("no momentum", Momentum::none()),
        ("average 0.9", Momentum::ema(0.9)),
        ("nesterov 0.9", Momentum::nesterov(0.9)),
        ("heavy ball 0.9", Momentum::heavy_ball(0.9)),
    ];
    pick(ui, "momentum", &mut choice.momentum, &momenta);
    let slider = egui::Slider::new(&mut choice.h, 1e-4..=10.0).logarithmic(true).text("h");
    ui.add(slider.max_decimals(5));
    let pause = if session.paused { "Go on" } else { "Pause" };
    if ui.button(pause).clicked() {
        session.paused = !session.paused;
    }
    if ui.button("Restart").clicked() {
        session.restart();
    }
    ui.separator();
    let parameters = session.field().layout().parameters();
    let decibels = session.decibels().map_or(String::new(), |db| format!(", {db:.2} dB"));
    ui.label(format!("{parameters} parameters, {} gradients{decibels}", session.gradients()));
    if let Some(fault) = &session.fault {
        ui.colored_label(ui.visuals().error_fg_color, fault);
    }
}

fn pick<T: PartialEq + Copy>(ui: &mut Ui, id: &str, value: &mut T, choices: &[(&str, T)]) {
    let name = choices.iter().find(|(_, v)| v == value).map_or("as given", |(name, _)| name);
    egui::ComboBox::new(id, "").selected_text(name).show_ui(ui, |ui| {
        for (name, choice) in choices {
            ui.selectable_value(value, *choice, *name);
        }
    });
}

/// Three images side by side, as large as fits.
fn images(ui: &mut Ui, session: &Session, name: &str) -> Vec<Rect> {
    let title = 22.0;
    let room = ui.available_rect_before_wrap();
    let extent = session.field().extent();
    let (w, h) = (extent[0] as f32, extent[1] as f32);
    let scale = ((room.width() - 2.0 * GAP) / (3.0 * w)).min((room.height() - title) / h);
    let size = Vec2::new(w, h) * scale.max(0.0);
    let left = room.left() + 0.5 * (room.width() - 3.0 * size.x - 2.0 * GAP);
    let top = room.top() + title + 0.5 * (room.height() - title - size.y);
    let colour = ui.visuals().text_color();
    let titles = [name.to_owned(), "reconstruction".into(), format!("{GAIN} x |difference|")];
    (0..3)
        .zip(titles)
        .map(|(i, text)| {
            let corner = Pos2::new(left + i as f32 * (size.x + GAP), top);
            let at = corner + Vec2::new(0.5 * size.x, -5.0);
            ui.painter().text(at, Align2::CENTER_BOTTOM, text, FontId::proportional(14.0), colour);
            Rect::from_min_size(corner, size)
        })
        .collect()
}

/// Decibels over gradients.
fn curve(ui: &mut Ui, session: &Session) {
    let (response, painter) = ui.allocate_painter(ui.available_size(), Sense::hover());
    let colour = ui.visuals().weak_text_color();
    let font = FontId::proportional(12.0);
    let plot = response.rect.shrink2(Vec2::new(44.0, 22.0));
    let points = &session.curve;
    let (first, last) = match (points.first(), points.last()) {
        (Some(first), Some(last)) if last[0] > first[0] => (first[0], last[0]),
        _ => {
            let text = "waiting for the first reports";
            painter.text(plot.center(), Align2::CENTER_CENTER, text, font, colour);
            return;
        }
    };
    let low = points.iter().fold(f64::INFINITY, |a, p| a.min(p[1]));
    let high = points.iter().fold(f64::NEG_INFINITY, |a, p| a.max(p[1]));
    let step = [1.0, 2.0, 5.0, 10.0, 20.0].into_iter().find(|s| (high - low) / s < 5.0);
    let step = step.unwrap_or(50.0);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let high = if high > low { high } else { low + step };
    let x = |v: f64| plot.left() + ((v - first) / (last - first)) as f32 * plot.width();
    let y = |v: f64| plot.bottom() - ((v - low) / (high - low)) as f32 * plot.height();
    let mut line = low;
    while line <= high + 1e-9 {
        painter.hline(plot.x_range(), y(line), Stroke::new(0.5, colour.gamma_multiply(0.5)));
        let at = Pos2::new(plot.left() - 6.0, y(line));
        painter.text(at, Align2::RIGHT_CENTER, format!("{line}"), font.clone(), colour);
        line += step;
    }
    for change in session.changes.iter().filter(|c| **c >= first) {
        painter.vline(x(*change), plot.y_range(), Stroke::new(1.0, CHANGE));
    }
    let line = points.iter().map(|p| Pos2::new(x(p[0]), y(p[1]))).collect();
    painter.line(line, Stroke::new(1.5, CURVE));
    let corner = Pos2::new(plot.left(), plot.top() - 5.0);
    painter.text(corner, Align2::LEFT_BOTTOM, "PSNR of batches, dB", font.clone(), colour);
    let corner = Pos2::new(plot.right(), plot.bottom() + 5.0);
    painter.text(corner, Align2::RIGHT_TOP, format!("{last} gradients"), font.clone(), colour);
    let corner = Pos2::new(plot.left(), plot.bottom() + 5.0);
    painter.text(corner, Align2::LEFT_TOP, format!("{first}"), font, colour);
}
