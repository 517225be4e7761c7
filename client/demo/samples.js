// SPDX-License-Identifier: ISC
// Photos that need restoring, drawn here so that the demo ships no pictures.

const WIDTH = 320;
const HEIGHT = 240;

/** Numbers from 0 to 1 that are the same each time. */
function* numbers(seed) {
  for (;;) {
    seed = (seed * 1664525 + 1013904223) % 2 ** 32;
    yield seed / 2 ** 32;
  }
}

function fill(context, color, ...points) {
  context.fillStyle = color;
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.fill();
}

function disc(context, color, x, y, across, high = across) {
  context.fillStyle = color;
  context.beginPath();
  context.ellipse(x, y, across, high, 0, 0, 7);
  context.fill();
}

function sky(context, above, below) {
  const gradient = context.createLinearGradient(0, 0, 0, HEIGHT);
  gradient.addColorStop(0, above);
  gradient.addColorStop(1, below);
  context.fillStyle = gradient;
  context.fillRect(0, 0, WIDTH, HEIGHT);
}

function lighthouse(context) {
  sky(context, "#3d84c6", "#f5e3c0");
  disc(context, "#fff3b0", 66, 60, 22);
  fill(context, "#1f5f8b", [0, 170], [WIDTH, 158], [WIDTH, HEIGHT], [0, HEIGHT]);
  for (let y = 176; y < HEIGHT; y += 14) {
    const x = y % 60;
    fill(context, "#5d9cc2", [x, y], [x + 120, y - 3], [x + 90, y + 2]);
  }
  fill(context, "#40513b", [150, HEIGHT], [196, 172], [272, 166], [WIDTH, 190], [WIDTH, HEIGHT]);
  fill(context, "#f7f4ec", [204, 60], [236, 60], [246, 176], [194, 176]);
  for (const y of [84, 122]) {
    const wider = y / 12; // than at the top: the tower's sides slope
    fill(context, "#c5362c", [209 - wider, y], [231 + wider, y], [233 + wider, y + 20], [207 - wider, y + 20]);
  }
  context.fillStyle = "#ffd75e";
  context.fillRect(208, 42, 24, 18);
  fill(context, "#7d1f1a", [202, 42], [220, 24], [238, 42]);
}

function mountains(context) {
  sky(context, "#5b8fd0", "#ffd9b8");
  fill(context, "#8494b8", [0, 150], [70, 60], [140, 140], [220, 40], [WIDTH, 150]);
  fill(context, "#ffffff", [194, 74], [220, 40], [250, 76], [224, 68]);
  fill(context, "#ffffff", [50, 86], [70, 60], [92, 86], [70, 80]);
  fill(context, "#46704a", [0, 150], [110, 118], [230, 146], [WIDTH, 124], [WIDTH, 170], [0, 170]);
  fill(context, "#3f7d9c", [0, 168], [WIDTH, 160], [WIDTH, HEIGHT], [0, HEIGHT]);
  fill(context, "#a8c6d4", [60, 196], [220, 190], [190, 198]);
  for (const x of [24, 52, 262, 292]) fill(context, "#22452a", [x, 112], [x + 18, 190], [x - 18, 190]);
  fill(context, "#8a4b2a", [140, 206], [206, 202], [194, 218], [152, 220]);
}

function portrait(context) {
  sky(context, "#6f8f6a", "#d8c7a0");
  fill(context, "#27406b", [70, HEIGHT], [96, 186], [138, 170], [182, 170], [224, 186], [250, HEIGHT]);
  fill(context, "#f4f1e8", [142, 170], [178, 170], [160, 206]);
  context.fillStyle = "#dba582";
  context.fillRect(146, 146, 28, 30);
  disc(context, "#5a3520", 160, 92, 56, 60);
  disc(context, "#ecbd98", 160, 108, 42, 52);
  fill(context, "#5a3520", [114, 92], [132, 58], [190, 56], [206, 92], [180, 76], [150, 80]);
  for (const x of [143, 177]) {
    disc(context, "#ffffff", x, 106, 8, 5);
    disc(context, "#2d4a63", x, 106, 4);
  }
  disc(context, "#b7514d", 160, 138, 13, 4);
  fill(context, "#d39c78", [160, 108], [167, 126], [154, 126]);
}

/** What the years did: the colours fade to brown, and there are scratches and dust. */
function age(context, random) {
  const image = context.getImageData(0, 0, WIDTH, HEIGHT);
  const { data } = image;
  for (let i = 0; i < data.length; i += 4)
    for (const [channel, [offset, scale]] of [[92, 0.52], [74, 0.48], [52, 0.4]].entries())
      data[i + channel] = offset + scale * data[i + channel] + 6 * random.next().value;
  context.putImageData(image, 0, 0);
  const any = (below) => Math.floor(random.next().value * below);
  context.fillStyle = "#f6efdf";
  for (let i = 0; i < 14; i++) context.fillRect(any(WIDTH), any(HEIGHT) - 60, 1, 60 + any(120));
  for (let i = 0; i < 130; i++) context.fillRect(any(WIDTH), any(HEIGHT), 1 + any(2), 1 + any(2));
}

/** Name and canvas of each sample. */
export const samples = Object.entries({ Lighthouse: lighthouse, Mountains: mountains, Portrait: portrait }).map(
  ([name, draw], i) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    draw(context);
    age(context, numbers(i + 1));
    return { name, canvas };
  },
);
