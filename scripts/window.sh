#!/usr/bin/env bash
# Runs the window of `neural-image` under a virtual display: it must open,
# say that a text is no image and go on, draw 60 frames, react to a key, keep a
# screenshot (its argument, or in target/) and close cleanly. Linux only; installs Xvfb
# and xdotool where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/driver.sh
source scripts/driver.sh

screenshot=${1:-target/neural_image/window.png}
frames=${FRAMES:-60}

need_rust
if ! command -v Xvfb >/dev/null || ! command -v xdotool >/dev/null; then
    install "virtual display" \
        "xvfb xdotool libxkbcommon-x11-0 libxcursor1 libxi6 libxrandr2" \
        "xorg-x11-server-Xvfb xdotool libxkbcommon-x11" \
        "xorg-server-xvfb xdotool libxkbcommon-x11"
fi
need_adapter
[ -n "${KUTTA_EVERYTHING:-}" ] || cargo build --release -p neural-image

work=$(mktemp -d)
display= server= window=
finish() {
    [ -z "$window" ] || kill "$window" 2>/dev/null || true
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Xvfb looks for a free number itself, and says it when it is ready.
Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3>"$work/display" 2>"$work/xvfb" &
server=$!
for _ in $(seq 100); do
    display=$(cat "$work/display")
    [ -z "$display" ] || break
    sleep 0.1
done
[ -n "$display" ] || { say "Xvfb did not start: $(cat "$work/xvfb")"; exit 1; }
export DISPLAY=":$display"
unset WAYLAND_DISPLAY

rm -f "$screenshot"
target/release/neural-image README.md --close-after "$frames" --screenshot "$screenshot" \
    >"$work/out" 2>"$work/err" &
window=$!

# The third method is rk4. Without a window manager nobody gives the window the focus.
for _ in $(seq 600); do
    id=$(xdotool search --name "kutta: neural image" 2>/dev/null | head -n 1) || true
    [ -z "${id:-}" ] || break
    kill -0 "$window" 2>/dev/null || break
    sleep 0.1
done
[ -n "${id:-}" ] || { say "no window came up: $(cat "$work/err")"; exit 1; }
sleep 2
xdotool windowfocus "$id"
xdotool key 3

status=0
wait "$window" || status=$?
window=
cat "$work/out"
grep -v XDG_RUNTIME_DIR "$work/err" >&2 || true
[ "$status" -eq 0 ] || { say "the window ended with status $status"; exit 1; }
grep -q "^method rk4$" "$work/out" || { say "the window did not react to a key"; exit 1; }
grep -q "^closed after $frames frames$" "$work/out" || { say "it did not draw $frames frames"; exit 1; }
grep -q "^error: .README.md. is no image" "$work/out" || { say "it did not tell a text from an image"; exit 1; }
[ -s "$screenshot" ] || { say "there is no screenshot"; exit 1; }
say "window: $frames frames, a key, closed cleanly"
