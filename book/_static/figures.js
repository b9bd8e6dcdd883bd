/* Figures that the reader moves: plain JavaScript and SVG, nothing from elsewhere.

   A figure is an element with data-figure="KIND" that holds a still for pages without scripts and,
   in a script of type application/json, its data (made by sjepa.show.interactive). KINDS, at the
   end, says what each kind builds. What computes and needs no page (masks, softmax, the encoder,
   readers of files) comes first, so that node can test it. */
(function () {
  "use strict";
  if (typeof window !== "undefined" && window.sjepaFigures) { window.sjepaFigures.mount(); return; }

  // ---- arrays ----------------------------------------------------------------------------------

  /** {shape, scale, bits, base64} → {shape, data}; `scale` is one number, or one a row. */
  function unpack(packed) {
    const text = atob(packed.base64), bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    const whole = packed.bits === 8 ? new Int8Array(bytes.buffer) : new Int16Array(bytes.buffer);
    const scales = [].concat(packed.scale), each = whole.length / scales.length;
    const data = new Float32Array(whole.length);
    for (let k = 0; k < data.length; k++) data[k] = whole[k] * scales[Math.floor(k / each)];
    return { shape: packed.shape, data };
  }

  const row = (array, k) => {
    const size = array.data.length / array.shape[0];
    return { shape: array.shape.slice(1), data: array.data.subarray(k * size, (k + 1) * size) };
  };
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const dot = (a, b) => { let s = 0; for (let k = 0; k < a.length; k++) s += a[k] * b[k]; return s; };

  /** A generator of uniform numbers in [0, 1) from a seed (mulberry32). */
  function uniform(seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  // ---- the mask: sjepa.masking -----------------------------------------------------------------

  /** As Python's round: a half goes to the even neighbour. */
  function roundEven(x) {
    const low = Math.floor(x), rest = x - low;
    return rest > 0.5 || (rest === 0.5 && low % 2) ? low + 1 : low;
  }

  /** Mean absolute change [S * V] of each token of clip [T, V, 3] against the segment before. */
  function motion(clip, length) {
    const [frames, joints] = clip.shape, segments = Math.floor(frames / length), size = joints * 3;
    const out = new Float64Array(segments * joints);
    for (let s = 1; s < segments; s++)
      for (let t = 0; t < length; t++)
        for (let k = 0; k < size; k++) {
          const at = (s * length + t) * size + k;
          out[s * joints + Math.floor(k / 3)] +=
            Math.abs(clip.data[at] - clip.data[at - length * size]) / (3 * length);
        }
    if (segments > 1) out.copyWithin(0, joints, 2 * joints);
    return out;
  }

  /** Which tokens are hidden, [S * V] of 0 and 1; `noise` is exponential, one number a token. */
  function drawMask(moved, ratio, tau, noise) {
    const most = Math.max(...moved), count = moved.length, kept = roundEven(count * (1 - ratio));
    const score = Array.from(moved, (each, k) =>
      each / (tau * most + 1e-10) - Math.log(Math.max(noise[k], 1e-30)));
    const order = score.map((_, k) => k).sort((a, b) => score[a] - score[b]);
    const hidden = new Uint8Array(count).fill(1);
    order.slice(0, kept).forEach((k) => { hidden[k] = 0; });
    return hidden;
  }

  // ---- centre and sharpen: sjepa.target --------------------------------------------------------

  function softmax(values, tau) {
    const top = Math.max(...values), e = Array.from(values, (v) => Math.exp((v - top) / tau));
    const all = sum(e);
    return e.map((v) => v / all);
  }

  /** Readings of targets and predictions [K, D] for a share of the centre [D] taken off. */
  function readLoss(run, share, tauT, tauP) {
    const [tokens, channels] = run.target.shape, wins = new Array(channels).fill(0);
    let entropy = 0, loss = 0;
    const made = (k) => ({
      wanted: softmax(row(run.target, k).data.map((v, c) => v - share * run.center[c]), tauT),
      guess: softmax(row(run.predicted, k).data, tauP),
    });
    for (let k = 0; k < tokens; k++) {
      const { wanted, guess } = made(k);
      wins[wanted.indexOf(Math.max(...wanted))] += 1 / tokens;
      wanted.forEach((p, c) => {
        if (p > 0) entropy -= (p * Math.log(p)) / tokens;
        loss -= (p * Math.log(Math.max(guess[c], 1e-30))) / tokens;
      });
    }
    return { entropy, loss, wins: wins.sort((a, b) => b - a), token: made };
  }

  // ---- the encoder: sjepa.encoder --------------------------------------------------------------

  /** x [N, I] times weight [O, I], plus bias [O]. */
  function linear(x, weight, bias) {
    const [outs, ins] = weight.shape, count = x.length / ins, y = new Float32Array(count * outs);
    const w = weight.data, add = bias.data;
    for (let n = 0; n < count; n++) {
      const one = x.subarray(n * ins, n * ins + ins);
      for (let o = 0, at = 0; o < outs; o++) {
        let s = add[o];
        for (let i = 0; i < ins; i++) s += one[i] * w[at++];
        y[n * outs + o] = s;
      }
    }
    return y;
  }

  function layerNorm(x, weight, bias) {
    const dim = weight.data.length, y = new Float32Array(x.length);
    for (let at = 0; at < x.length; at += dim) {
      let mean = 0, spread = 0;
      for (let k = 0; k < dim; k++) mean += x[at + k] / dim;
      for (let k = 0; k < dim; k++) spread += (x[at + k] - mean) ** 2 / dim;
      const scale = 1 / Math.sqrt(spread + 1e-5);
      for (let k = 0; k < dim; k++)
        y[at + k] = (x[at + k] - mean) * scale * weight.data[k] + bias.data[k];
    }
    return y;
  }

  /** x Φ(x); the error function after Abramowitz and Stegun 7.1.26, to 1.5e-7. */
  function gelu(x) {
    const z = Math.abs(x) / Math.SQRT2, t = 1 / (1 + 0.3275911 * z);
    const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027
      + t * 1.061405429)))) * Math.exp(-z * z);
    return 0.5 * x * (1 + Math.sign(x) * (1 - tail));
  }

  /** Attended values [N, dim] of qkv [N, 3 * dim]. */
  function attend(qkv, dim, heads) {
    const count = qkv.length / (3 * dim), wide = dim / heads, out = new Float32Array(count * dim);
    for (let h = 0; h < heads; h++)
      for (let n = 0; n < count; n++) {
        const q = qkv.subarray(n * 3 * dim + h * wide, n * 3 * dim + (h + 1) * wide);
        const scores = new Float32Array(count);
        for (let m = 0; m < count; m++) {
          const at = m * 3 * dim + dim + h * wide;
          scores[m] = dot(q, qkv.subarray(at, at + wide)) / Math.sqrt(wide);
        }
        softmax(scores, 1).forEach((weight, m) => {
          const at = m * 3 * dim + 2 * dim + h * wide;
          for (let k = 0; k < wide; k++) out[n * dim + h * wide + k] += weight * qkv[at + k];
        });
      }
    return out;
  }

  /** Features [N, dim] of a clip [frames, V, 3]; `w` holds the weights by PyTorch's names. */
  function encode(shape, w, clip) {
    const { dim, depth, heads, joints, frames, segment } = shape, cut = segment * 3;
    const segments = frames / segment, tokens = new Float32Array(segments * joints * cut);
    for (let t = 0; t < frames; t++)
      for (let v = 0; v < joints; v++)
        for (let c = 0; c < 3; c++)
          tokens[(Math.floor(t / segment) * joints + v) * cut + (t % segment) * 3 + c] =
            clip[(t * joints + v) * 3 + c];
    let x = linear(tokens, w["embed.weight"], w["embed.bias"]);
    for (let k = 0; k < x.length; k++) {
      const token = Math.floor(k / dim), c = k % dim;
      x[k] += w["positions.time"].data[Math.floor(token / joints) * dim + c]
        + w["positions.joint"].data[(token % joints) * dim + c];
    }
    const add = (a, b) => a.map((v, k) => v + b[k]);
    for (let b = 0; b < depth; b++) {
      const of = (name) => [w[`blocks.${b}.${name}.weight`], w[`blocks.${b}.${name}.bias`]];
      const qkv = linear(layerNorm(x, ...of("norm1")), ...of("attn.qkv"));
      x = add(x, linear(attend(qkv, dim, heads), ...of("attn.proj")));
      const wide = linear(layerNorm(x, ...of("norm2")), ...of("mlp.0")).map(gelu);
      x = add(x, linear(wide, ...of("mlp.2")));
    }
    return layerNorm(x, w["norm.weight"], w["norm.bias"]);
  }

  /** One feature [dim] a clip {shape [T, V, 3], data}, as sjepa.embed makes it of one body. */
  function embed(shape, weights, clip) {
    const made = encode(shape, weights, resize(clip, shape.frames, 0.95));
    const mean = new Float32Array(shape.dim), count = made.length / shape.dim;
    made.forEach((v, k) => { mean[k % shape.dim] += v / count; });
    return mean;
  }

  /** The central `share` of a clip, resized in time: sjepa.clips.center_crop. */
  function resize(clip, frames, share) {
    const [length, joints] = clip.shape, size = joints * 3;
    const begin = Math.floor(((1 - share) * length) / 2), span = length - 2 * begin;
    const out = new Float32Array(frames * size);
    for (let t = 0; t < frames; t++) {
      const at = Math.min(Math.max((t + 0.5) * (span / frames) - 0.5, 0), span - 1);
      const low = Math.floor(at), high = Math.min(low + 1, span - 1);
      for (let k = 0; k < size; k++) {
        const first = clip.data[(begin + low) * size + k];
        out[t * size + k] = first + (at - low) * (clip.data[(begin + high) * size + k] - first);
      }
    }
    return out;
  }

  // ---- files of motion: sjepa.datasets.motion --------------------------------------------------

  function fail(message) { throw new Error(message); }

  /** A file's text as a clip {shape [T, 25, 3], data} in metres; `maps` comes from Python. */
  function readMotion(name, text, maps) {
    const kind = name.toLowerCase().split(".").pop();
    let clip;
    if (kind === "bvh") clip = mapped(readBvh(text, maps), maps.layouts.bandai21);
    else if (kind === "csv" && text.slice(0, 200).includes("Timestamp"))
      clip = mapped(readKinect(text), maps.layouts.kinect20);
    else if (kind === "csv" || kind === "json")
      clip = mapped(readLandmarks(kind, text), maps.layouts.mediapipe33);
    else fail(`${name}: expected a .bvh, .csv or .json file.`);
    centre(clip);
    const tall = standing(clip);
    if (!(tall >= 0.3 && tall <= 3))
      fail(`${name}: the person would be ${tall.toPrecision(3)} m tall, so the unit is not metres.`);
    const above = clip.data[10] - (clip.data[43] + clip.data[55]) / 2;  // head over ankles
    if (kind === "bvh" && above < 0.3 * tall)
      fail(`${name}: the first frame has nobody upright; sjepa.read_motion finds which axis is up.`);
    faceCamera(clip);
    return clip;
  }

  /** Frames [[[x, y, z], …], …] of a layout → NTU's 25 joints; a row is [[joint, weight], …]. */
  function mapped(frames, rows) {
    const data = new Float32Array(frames.length * 75);
    frames.forEach((frame, t) => rows.forEach((sources, k) => sources.forEach(([j, weight]) => {
      for (let c = 0; c < 3; c++) data[t * 75 + k * 3 + c] += weight * frame[j][c];
    })));
    return { shape: [frames.length, 25, 3], data };
  }

  function centre(clip) {
    const any = clip.data.findIndex((v) => v !== 0);
    if (any < 0) fail("Nobody is in the file: all positions are zero.");
    const at = Math.floor(any / 75) * 75 + 3, origin = clip.data.slice(at, at + 3);
    for (let t = 0; t < clip.shape[0]; t++) {
      const frame = clip.data.subarray(t * 75, t * 75 + 75);
      if (frame.some((v) => v !== 0)) frame.forEach((v, k) => { frame[k] = v - origin[k % 3]; });
    }
  }

  function standing(clip) {
    const chains = [[0, 1, 20, 2, 3], [12, 13, 14], [16, 17, 18]];
    const tall = [];
    for (let t = 0; t < clip.shape[0]; t++) {
      const p = (k) => clip.data.subarray(t * 75 + k * 3, t * 75 + k * 3 + 3);
      const [trunk, left, right] = chains.map((chain) => sum(chain.slice(1).map((k, n) =>
        Math.hypot(...p(k).map((v, c) => v - p(chain[n])[c])))));
      tall.push(trunk + (left + right) / 2);
    }
    return tall.sort((a, b) => a - b)[Math.floor(tall.length / 2)];
  }

  function faceCamera(clip) {
    for (let t = 0; t < clip.shape[0]; t++) {
      const [x, z] = [0, 2].map((c) => clip.data[t * 75 + 48 + c] - clip.data[t * 75 + 36 + c]);  // hips
      const length = Math.hypot(x, z);
      if (length <= 1e-6) continue;
      const cos = x / length, sin = z / length;
      for (let at = 0; at < clip.data.length; at += 3) {
        const [a, b] = [clip.data[at], clip.data[at + 2]];
        clip.data[at] = cos * a + sin * b;
        clip.data[at + 2] = cos * b - sin * a;
      }
      return;
    }
  }

  function readBvh(text, maps) {
    const rows = text.split(/\r?\n/), start = rows.findIndex((r) => r.trim().toUpperCase() === "MOTION");
    if (start < 0) fail("The file has no line MOTION, so it is no whole BVH.");
    const joints = [], opened = [];
    let named = -1;
    for (const part of rows.slice(0, start).flatMap((r) => r.split(/([{}])/))) {
      const words = part.trim().split(/\s+/), key = words[0].toUpperCase();
      const inside = opened.length ? opened[opened.length - 1] : -1;
      if (key === "ROOT" || key === "JOINT") {
        named = joints.length;
        joints.push({ name: words.slice(1).join(" "), parent: inside, offset: [0, 0, 0], channels: [] });
      } else if (key === "END") named = -1;
      else if (key === "{") opened.push(named);
      else if (key === "}") opened.pop();
      else if (key === "OFFSET" && inside >= 0) joints[inside].offset = words.slice(1, 4).map(Number);
      else if (key === "CHANNELS" && inside >= 0)
        joints[inside].channels = words.slice(2).map((w) => w.toLowerCase());
    }
    const columns = sum(joints.map((j) => j.channels.length));
    const lines = rows.slice(start + 1).filter((r) => r.trim() && !/^\s*Frame/i.test(r));
    const values = lines.map((line) => line.trim().split(/\s+/).map(Number));
    const bad = values.findIndex((v) => v.length !== columns || v.some(Number.isNaN));
    if (!joints.length || !columns || !values.length) fail("The file has no joints or no frames.");
    if (bad >= 0) fail(`Frame ${bad + 1} has not the ${columns} numbers that the joints ask for.`);
    return bandai(joints, values.map((v) => places(joints, v)), maps);
  }

  /** Forward kinematics of one frame: the last-listed rotation acts first on the bone. */
  function places(joints, values) {
    const turns = [], out = [];
    let at = 0;
    joints.forEach((joint) => {
      const local = joint.offset.slice();
      let turn = [1, 0, 0, 0, 1, 0, 0, 0, 1];
      joint.channels.forEach((channel) => {
        const axis = "xyz".indexOf(channel[0]), value = values[at++];
        if (channel.endsWith("position")) local[axis] = value;
        else turn = times(turn, elementary(axis, (value * Math.PI) / 180));
      });
      if (joint.parent >= 0) {
        const above = turns[joint.parent], root = out[joint.parent];
        const moved = [0, 1, 2].map((r) => root[r] + dot(above.slice(3 * r, 3 * r + 3), local));
        out.push(moved);
        turn = times(above, turn);
      } else out.push(local);
      turns.push(turn);
    });
    return out;
  }

  function elementary(axis, angle) {
    const [a, b] = [(axis + 1) % 3, (axis + 2) % 3], m = [0, 0, 0, 0, 0, 0, 0, 0, 0];
    m[4 * axis] = 1;
    m[4 * a] = m[4 * b] = Math.cos(angle);
    m[3 * a + b] = -Math.sin(angle);
    m[3 * b + a] = Math.sin(angle);
    return m;
  }

  const times = (a, b) => a.map((_, k) => {
    const r = 3 * Math.floor(k / 3), c = k % 3;
    return a[r] * b[c] + a[r + 1] * b[c + 3] + a[r + 2] * b[c + 6];
  });

  /** Positions of a file's joints in the order of bandai21, in metres, by the joints' names. */
  function bandai(joints, frames, maps) {
    const root = (joints.find((j) => j.name.endsWith("Hips")) || { name: "Hips" }).name;
    const prefix = root.slice(0, -4), at = {};
    joints.forEach((j, k) => { if (j.name.startsWith(prefix)) at[j.name.slice(prefix.length)] = k; });
    joints.forEach((j, k) => { at[j.name] = k; });
    const known = maps.conventions.find((each) => each.joints.every((j) => j === null || j in at));
    if (!known)
      fail(`The joints are named unlike those of ${maps.conventions.map((c) => c.name).join(", ")}: `
        + `${joints.slice(0, 8).map((j) => j.name).join(", ")} …; sjepa.read_motion finds more kinds.`);
    return frames.map((frame) => known.joints.map((j) =>
      j === null ? [0, 0, 0] : frame[at[j]].map((v) => v * known.unit)));
  }

  function readKinect(text) {
    const rows = text.split(/\r?\n/).slice(1).map((r) => r.split(",")).filter((r) => r.length >= 61);
    if (!rows.length) fail("The file has no row of 61 fields below its header.");
    return rows.map((fields, n) => {
      const x = fields.slice(1, 61).map((f) => (f.trim() ? Number(f) : NaN));
      if (x.some(Number.isNaN)) fail(`Row ${n + 2} has a field that is no number.`);
      return Array.from({ length: 20 }, (_, k) => x.slice(3 * k, 3 * k + 3));
    });
  }

  function readLandmarks(kind, text) {
    let frames;
    if (kind === "json") {
      try { frames = JSON.parse(text); } catch (error) { fail(`This is no JSON: ${error.message}.`); }
      if (!Array.isArray(frames)) fail("Expected a list of frames with 33 landmarks each.");
      const names = ["worldLandmarks", "world_landmarks", "pose_world_landmarks"];
      frames = frames.map((frame) => {
        if (!Array.isArray(frame)) frame = frame[names.find((name) => name in frame)] || [];
        if (frame.length && frame.length !== 33) frame = frame[0];
        return frame.map((p) => (Array.isArray(p) ? p.slice(0, 3) : [p.x, p.y, p.z]));
      }).filter((frame) => frame.length);
    } else {
      const rows = text.trim().split(/\r?\n/).map((r) => r.split(",").map(Number));
      if (rows[0].some(Number.isNaN)) rows.shift();
      frames = rows.map((r) => Array.from({ length: 33 }, (_, k) =>
        r.slice((k * r.length) / 33, (k * r.length) / 33 + 3)));
    }
    if (!frames.length || frames.some((f) => f.length !== 33 || f.flat().some((v) => !(Math.abs(v) <= 10))))
      fail("Expected 33 world landmarks a frame, in metres.");
    const off = frames.map((f) => Math.hypot(...[0, 1, 2].map((c) => (f[23][c] + f[24][c]) / 2)));
    if (off.sort((a, b) => a - b)[Math.floor(off.length / 2)] > 0.1)
      fail("The middle of the hips is not the origin, so these are landmarks of the image: "
        + "save the world landmarks.");
    return frames.map((f) => f.map(([x, y, z]) => [-x, -y, z]));
  }

  /** Clips of a gallery by cosine, nearest first, and the class that the first `count` vote for. */
  function neighbours(feature, gallery, labels, count) {
    const size = Math.sqrt(dot(feature, feature));
    const cosine = labels.map((_, k) => {
      const other = row(gallery, k).data;
      return dot(feature, other) / (size * Math.sqrt(dot(other, other)));
    });
    const near = labels.map((_, k) => k).sort((a, b) => cosine[b] - cosine[a]).slice(0, count);
    const votes = {};
    near.forEach((k) => { votes[labels[k]] = (votes[labels[k]] || 0) + 1 + cosine[k]; });
    const guess = Object.keys(votes).reduce((a, b) => (votes[b] > votes[a] ? b : a));
    return { near, cosine: near.map((k) => cosine[k]), guess: Number(guess) };
  }

  const computing = { unpack, uniform, motion, drawMask, readLoss, encode, embed, readMotion,
    neighbours };
  if (typeof module !== "undefined" && module.exports) { module.exports = computing; return; }

  // ---- the page --------------------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  let count = 0;

  function fill(node, attributes, children) {
    Object.entries(attributes || {}).forEach(([name, value]) => {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    });
    node.append(...children);
    return node;
  }
  const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const s = (tag, attributes, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);
  const set = (node, attributes) => fill(node, attributes, []);
  const button = (text, press) => h("button", { type: "button", onclick: press }, text);

  /** A slider with its name before it and its value behind; `say` puts the value into words. */
  function slider(name, { min, max, step, value, say = String, input }) {
    const id = `sj-${++count}`, out = h("output", { for: id }, say(value));
    const range = h("input", { type: "range", id, min, max, step, value });
    const tell = () => {
      out.textContent = say(Number(range.value));
      range.setAttribute("aria-valuetext", out.textContent);
    };
    range.addEventListener("input", () => { tell(); input(Number(range.value)); });
    tell();
    return {
      node: h("label", { class: "sj-slider", for: id }, h("span", {}, name), range, out),
      get value() { return Number(range.value); },
      set value(v) { range.value = v; tell(); },
    };
  }

  /** Radio buttons, one of which is chosen. */
  function choice(name, options, chosen, change) {
    const group = `sj-${++count}`;
    const radios = options.map((option) => h("label", {}, h("input", Object.assign(
      { type: "radio", name: group, value: option, onchange: () => change(option) },
      option === chosen ? { checked: "" } : {})), option));
    return h("fieldset", { class: "sj-choice" }, h("legend", {}, name), ...radios);
  }

  /** A clock of loops: `draw(share)` is called with a share of the loop while it plays. */
  function player(root, { seconds, frames, draw }) {
    const press = button("", () => go(!playing));
    const time = slider("Time", { min: 0, max: frames - 1, step: 1, value: 0,
      say: (f) => `${((f / Math.max(frames - 1, 1)) * seconds).toFixed(1)} s`,
      input: (f) => { go(false); share = f / Math.max(frames - 1, 1); draw(share); } });
    let playing = false, share = 0, last = null, seen = true;
    function tick(now) {
      if (!playing || !seen || !root.isConnected) { last = null; return; }
      if (last !== null) share = (share + (now - last) / 1000 / seconds) % 1;
      last = now;
      time.value = Math.round(share * (frames - 1));
      draw(share);
      requestAnimationFrame(tick);
    }
    function go(on) {
      playing = on;
      press.textContent = on ? "Pause" : "Play";
      root.dataset.state = on ? "playing" : "paused";
      if (on && last === null) requestAnimationFrame(tick);
    }
    new IntersectionObserver((entries) => {
      seen = entries[entries.length - 1].isIntersecting;
      if (seen && playing && last === null) requestAnimationFrame(tick);
    }).observe(root);
    return {
      nodes: [press, time.node], go,
      get share() { return share; },
      jump(to) { share = to; time.value = Math.round(to * (frames - 1)); draw(to); },
      begin() { share = still() ? 0.5 : 0; this.jump(share); go(!still()); },
    };
  }

  /** Bodies side by side, turned together by dragging or by the slider `turn`. */
  function stage(skeleton, { yaw = 0, redraw, pick }) {
    const node = h("div", { class: "sj-stage" });
    let views = [], pitch = 0, from = null;
    const turn = slider("Turn", { min: -180, max: 180, step: 5, value: Math.round(yaw * 57.3 / 5) * 5,
      say: (v) => `${v}°`.replace("-", "−"), input: () => redraw() });
    node.addEventListener("pointerdown", (e) => {
      from = [e.clientX, e.clientY, turn.value, pitch];
      node.setPointerCapture(e.pointerId);
    });
    node.addEventListener("pointermove", (e) => {
      if (from === null) return;
      const moved = from[2] + (e.clientX - from[0]) * 0.6;
      turn.value = ((((moved + 180) % 360) + 360) % 360) - 180;
      pitch = Math.min(1.2, Math.max(-0.4, from[3] + (e.clientY - from[1]) * 0.005));
      redraw();
    });
    ["pointerup", "pointercancel"].forEach((name) => node.addEventListener(name, () => { from = null; }));

    /** Show clips [{clip: {shape [T, M, V, 3], data}, title}]. */
    function show(list) {
      const boxes = list.map(({ clip }) => extent(clip));
      const [tall, reach] = ["tall", "reach"].map((of) => Math.max(...boxes.map((b) => b[of])));
      views = list.map(({ clip, title }, n) => view(clip, title, boxes[n], tall, reach));
      node.replaceChildren(...views.map((v) => v.node));
    }

    function view(clip, title, box, tall, reach) {  // one scale for all
      const [, bodies, joints] = clip.shape, pad = 12;
      const wide = 200 * reach + 2 * pad, high = 100 * tall + 2 * pad;
      const picture = s("svg", { viewBox: `${-wide / 2} ${-high + pad} ${wide} ${high}`, role: "img",
        "aria-label": title || "a moving skeleton" });
      const drawn = Array.from({ length: bodies }, () => {
        const bones = skeleton.bones.map(([, , side]) => s("line", { class: `sj-bone ${side}` }));
        const dots = skeleton.side.map((side, k) => s("circle", { class: `sj-joint ${side}`, r: 4.5,
          onpointerenter: () => pick && pick(k), onpointerleave: () => pick && pick(null) },
        s("title", {}, skeleton.joints[k])));
        picture.append(...bones, ...dots);
        return { bones, dots };
      });
      const caption = h("div", { class: "sj-title" }, title || "");
      return { node: h("div", { class: "sj-view" }, picture, caption), clip, box, joints, drawn, caption };
    }

    /** Draw at a share of the loop; look(view, joint, share) → {hidden, size, lit, bone}. */
    function draw(share, look = () => ({})) {
      const [cy, sy] = [Math.cos(turn.value / 57.29578), Math.sin(turn.value / 57.29578)];
      const [cp, sp] = [Math.cos(pitch), Math.sin(pitch)];
      views.forEach(({ clip, box, joints, drawn }, n) => {
        const [frames, bodies] = clip.shape, at = share * (frames - 1);
        const low = Math.floor(at), high = Math.min(low + 1, frames - 1), part = at - low;
        drawn.forEach(({ bones, dots }, m) => {
          const place = (k, c) => {
            const of = (t) => clip.data[((t * bodies + m) * joints + k) * 3 + c];
            return of(low) + part * (of(high) - of(low));
          };
          const begin = (low * bodies + m) * joints * 3;
          const there = clip.data.subarray(begin, begin + joints * 3).some((v) => v !== 0);
          const spots = dots.map((circle, k) => {
            const x = place(k, 0) - box.x, y = place(k, 1) - box.low, z = place(k, 2) - box.z;
            const flat = [-(cy * x + sy * z), cp * (y - box.tall / 2) + sp * (cy * z - sy * x)];
            return [100 * flat[0], -100 * (flat[1] + box.tall / 2)];
          });
          const looks = dots.map((_, k) => look(n, k, share));
          dots.forEach((circle, k) => {
            const own = looks[k];
            set(circle, { cx: spots[k][0].toFixed(1), cy: spots[k][1].toFixed(1),
              r: 4.5 * (own.size ?? 1), visibility: there ? "visible" : "hidden" });
            circle.classList.toggle("hollow", own.hidden === "hollow");
            circle.classList.toggle("gone", own.hidden === "gone");
            circle.classList.toggle("lit", Boolean(own.lit));
          });
          skeleton.bones.forEach(([a, b], k) => {
            set(bones[k], { x1: spots[a][0].toFixed(1), y1: spots[a][1].toFixed(1),
              x2: spots[b][0].toFixed(1), y2: spots[b][1].toFixed(1),
              visibility: there ? "visible" : "hidden" });
            const hidden = [looks[a].hidden, looks[b].hidden];
            bones[k].classList.toggle("faint", hidden.includes("hollow"));
            bones[k].classList.toggle("gone", hidden.includes("gone"));
          });
        });
      });
    }
    return { node, turn, show, draw, get views() { return views; } };
  }

  /** Where a clip stands: middle in x and z, lowest y, height, and its reach for every turn. */
  function extent(clip) {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    const size = clip.shape[2] * 3, there = [];
    for (let at = 0; at < clip.data.length; at += size) {
      const body = clip.data.subarray(at, at + size);
      if (body.some((v) => v !== 0)) there.push(body);
    }
    there.forEach((body) => body.forEach((v, k) => {
      low[k % 3] = Math.min(low[k % 3], v);
      high[k % 3] = Math.max(high[k % 3], v);
    }));
    const [x, , z] = low.map((v, c) => (v + high[c]) / 2);
    let reach = 0.35;
    there.forEach((body) => { for (let k = 0; k < size; k += 3)
      reach = Math.max(reach, Math.hypot(body[k] - x, body[k + 2] - z)); });
    return { x, z, low: low[1], tall: high[1] - low[1], reach };
  }

  /** The token sheet: a column a segment, a row a joint, part by part; arrow keys move over it. */
  function sheet(skeleton, segments, { name, chosen }) {
    const joints = skeleton.order.length, wide = Math.max(12, 360 / segments), high = 7, left = 64;
    const picture = s("svg", { class: "sj-sheet", tabindex: 0, role: "slider", "aria-label": name,
      "aria-valuemin": 0, "aria-valuemax": segments * joints - 1, "aria-valuenow": 0,
      viewBox: `0 0 ${left + segments * wide + 2} ${joints * high + 14}` });
    const cells = skeleton.order.map((joint, r) => Array.from({ length: segments }, (_, c) =>
      s("rect", { x: left + c * wide, y: r * high, width: wide - 1, height: high - 1,
        class: `sj-cell ${skeleton.side[joint]}` })));
    picture.append(...cells.flat());
    skeleton.parts.forEach(([part, first, end]) => picture.append(s("text", {
      x: left - 4, y: ((first + end) * high) / 2 + 3, "text-anchor": "end" }, part)));
    picture.append(s("text", { x: left + (segments * wide) / 2, y: joints * high + 10,
      "text-anchor": "middle" }, "segments, in time →"));
    const rowMark = s("rect", { class: "sj-mark", x: left - 1, width: segments * wide + 1, height: high + 1 });
    const now = s("rect", { class: "sj-mark", y: -1, width: wide + 1, height: joints * high + 1 });
    picture.append(now, rowMark);
    let at = { segment: 0, joint: null };
    function mark(segment, joint) {
      at = { segment, joint };
      set(now, { x: left + segment * wide - 1 });
      set(rowMark, { y: skeleton.order.indexOf(joint) * high - 1,
        visibility: joint === null ? "hidden" : "visible" });
      if (joint !== null) set(picture, { "aria-valuenow": segment * joints + joint,
        "aria-valuetext": `${skeleton.joints[joint]}, segment ${segment} of 0 to ${segments - 1}` });
    }
    const under = (e) => {
      const box = picture.getBoundingClientRect(), unit = picture.viewBox.baseVal.width / box.width;
      const c = Math.floor(((e.clientX - box.left) * unit - left) / wide);
      const r = Math.floor(((e.clientY - box.top) * unit) / high);
      return c >= 0 && c < segments && r >= 0 && r < joints ? [c, skeleton.order[r]] : null;
    };
    ["pointermove", "pointerdown"].forEach((event) => picture.addEventListener(event, (e) => {
      const token = under(e);
      if (token) chosen(...token);
    }));
    picture.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
      if (!step) return;
      e.preventDefault();
      const r = at.joint === null ? 0 : skeleton.order.indexOf(at.joint);
      const clamp = (v, top) => Math.min(Math.max(v, 0), top);
      chosen(clamp(at.segment + step[0], segments - 1), skeleton.order[clamp(r + step[1], joints - 1)]);
    });
    /** Shade the cells by value(segment, joint) in 0 … 1. */
    const shade = (value) => cells.forEach((line, r) => line.forEach((cell, c) =>
      cell.setAttribute("fill-opacity", (0.08 + 0.92 * value(c, skeleton.order[r])).toFixed(2))));
    return { node: picture, mark, shade };
  }

  const said = () => h("p", { class: "sj-said", "aria-live": "polite" });
  const controls = (...nodes) => h("div", { class: "sj-controls" }, ...nodes);

  // ---- the kinds -------------------------------------------------------------------------------

  /** Turn the body: clips, perhaps with a token sheet of the first one, and links of tokens. */
  function turnFigure(root, data) {
    const clips = data.clips.map((c) => ({ clip: unpack(c.frames), title: c.title }));
    const first = clips[0].clip, frames = first.shape[0], joints = first.shape[2];
    const segments = data.segment ? frames / data.segment : 0;
    const weights = data.links && unpack(data.links.values);  // [names, N, N]
    let lit = null, block = weights ? weights.shape[0] - 1 : 0;
    const token = { segment: Math.floor((segments - 1) / 2), joint: weights ? 11 : null };
    const words = said();
    const board = stage(data.skeleton, { yaw: data.yaw, redraw, pick: (joint) => {
      lit = joint;
      if (tokens && !weights) tokens.mark(segmentOf(clock.share), joint);
      redraw();
    } });
    board.show(clips);
    const segmentOf = (share) => Math.min(Math.floor((share * (frames - 1)) / data.segment), segments - 1);
    const attended = () => row(row(weights, block), token.segment * joints + token.joint).data;
    const tokens = segments ? sheet(data.skeleton, segments, {
      name: "Token sheet: a joint and a segment", chosen: (segment, joint) => {
        clock.go(false);
        Object.assign(token, { segment, joint });
        lit = joint;
        clock.jump(((segment + 0.5) * data.segment) / frames);
        tokens.mark(segment, joint);
        paint();
      } }) : null;
    const moved = segments ? motion({ shape: [frames, joints, 3], data: lone(first) }, data.segment) : [];
    const most = Math.max(...moved, 1e-9);
    function paint() {
      if (!tokens) return;
      const name = token.joint === null ? "" : data.skeleton.joints[token.joint];
      if (weights) {
        const to = attended(), at = token.segment * joints + token.joint, own = to[at];
        const others = to.map((v, k) => (k === at ? -1 : v)), top = Math.max(...others), best = others.indexOf(top);
        tokens.shade((c, j) => Math.min(to[c * joints + j] / top, 1));
        const of = (v) => `${(v * data.links.scale).toFixed(1)}${data.links.unit}`;
        words.textContent = `${data.links.names[block]}: ${name}, segment ${token.segment}, `
          + `${data.links.verb} ${data.skeleton.joints[best % joints]}, segment `
          + `${Math.floor(best / joints)} (${of(to[best])}); itself: ${of(own)}, mean of the others: `
          + `${of((sum(Array.from(to)) - own) / (to.length - 1))}.`;
      } else {
        tokens.shade((c, j) => moved[c * joints + j] / most);
        words.textContent = token.joint === null ? `${segments} segments × ${joints} joints = `
          + `${segments * joints} tokens; strongly coloured cells move most.`
          : `Token ${token.segment * joints + token.joint}: ${name}, frames `
          + `${token.segment * data.segment} to ${(token.segment + 1) * data.segment - 1}, moved `
          + `${(100 * moved[token.segment * joints + token.joint]).toFixed(1)} cm a segment.`;
      }
    }
    function redraw(share = clock.share) {
      const now = segments ? segmentOf(share) : 0;
      const to = weights && attended(), own = token.segment * joints + token.joint;
      const top = weights && Math.max(...to.map((v, k) => (k === own ? 0 : v)));
      board.draw(share, (n, joint) => ({ lit: joint === lit,
        size: weights ? 0.5 + 1.6 * Math.min(to[now * joints + joint] / top, 1) : 1 }));
      if (tokens) tokens.mark(now, lit ?? token.joint);
    }
    const clock = player(root, { seconds: data.seconds, frames, draw: redraw });
    root.prepend(board.node, controls(...clock.nodes, board.turn.node), ...(tokens ? [tokens.node] : []));
    if (weights) {
      const names = data.links.names;
      root.querySelector(".sj-controls").append(choice(data.links.title, names, names[block], (name) => {
        block = names.indexOf(name);
        paint();
        redraw();
      }));
    }
    if (tokens) root.querySelector(".sj-sheet").after(words);
    clock.begin();
    paint();
  }

  /** The first body of a clip [T, M, V, 3]. */
  function lone(clip) {
    const [frames, bodies, joints] = clip.shape, size = joints * 3, out = new Float32Array(frames * size);
    for (let t = 0; t < frames; t++)
      out.set(clip.data.subarray(t * bodies * size, t * bodies * size + size), t * size);
    return out;
  }

  /** Mask it yourself: ratio, temperature, a new draw, and a guess at what is left. */
  function maskFigure(root, data) {
    const clips = data.clips.map((c) => ({ clip: unpack(c.frames), name: c.title }));
    const [frames, , joints] = clips[0].clip.shape, segments = frames / data.segment;
    const state = { clip: 0, seed: 1, revealed: false, right: 0, asked: 0, hidden: null };
    const words = said(), answers = h("div", { class: "sj-answers", role: "group", "aria-label": "Your guess" });
    const board = stage(data.skeleton, { yaw: data.yaw, redraw: () => redraw() });
    const tokens = sheet(data.skeleton, segments, { name: "The mask: visible tokens are filled",
      chosen: (segment, joint) => { clock.go(false); clock.jump(((segment + 0.5) * data.segment) / frames);
        tokens.mark(segment, joint); } });
    tokens.node.classList.add("hollow");
    const segmentOf = (share) => Math.min(Math.floor((share * (frames - 1)) / data.segment), segments - 1);
    function redraw(share = clock.share) {
      const now = segmentOf(share);
      board.draw(share, (n, joint) => (state.hidden[now * joints + joint]
        ? { hidden: state.revealed ? "hollow" : "gone" } : {}));
      tokens.mark(now, null);
    }
    function draw() {
      const moved = motion({ shape: [frames, joints, 3], data: lone(clips[state.clip].clip) }, data.segment);
      const next = uniform(state.seed * 1000 + state.clip);
      state.hidden = drawMask(moved, ratio.value, tau.value,
        Array.from(moved, () => -Math.log(1 - next())));
      tokens.shade((c, j) => 1 - state.hidden[c * joints + j]);
      root.dataset.visible = state.hidden.length - sum(Array.from(state.hidden));
      root.dataset.draw = state.seed;
      tell("");
      redraw();
    }
    function tell(verdict) {
      const score = state.asked ? ` Right: ${state.right} of ${state.asked}.` : "";
      words.textContent = `${root.dataset.visible} of ${state.hidden.length} tokens are left. `
        + (verdict || "Can you still tell what the person does?") + score;
    }
    function pose(clip) {
      Object.assign(state, { clip, revealed: false });
      board.show([{ clip: clips[clip].clip, title: "" }]);
      answers.replaceChildren(...[...new Set(clips.map((c) => c.name))].sort().map((name) =>
        button(name, () => {
          if (!state.revealed) { state.asked += 1; state.right += name === clips[state.clip].name; }
          reveal(name);
        })));
      show.textContent = "Show the whole body";
      draw();
    }
    function reveal(guess) {
      const name = clips[state.clip].name;
      state.revealed = true;
      show.textContent = "Hide it again";
      board.views[0].caption.textContent = name;
      tell(guess === undefined ? `It is: ${name}.` : guess === name ? `Yes: ${name}.` : `No, it is: ${name}.`);
      redraw();
    }
    const show = button("Show the whole body", () => {
      if (!state.revealed) return reveal();
      state.revealed = false;
      show.textContent = "Show the whole body";
      return redraw();
    });
    const percent = (v) => `${Math.round(100 * v)} %`;
    const ratio = slider("Hidden", { min: 0, max: 0.98, step: 0.02, value: 0.9, say: percent, input: draw });
    const tau = slider("Temperature τ", { min: 0.05, max: 3, step: 0.05, value: 0.8,
      say: (v) => v.toFixed(2), input: draw });
    const clock = player(root, { seconds: data.seconds, frames, draw: redraw });
    root.prepend(board.node, controls(...clock.nodes, board.turn.node),
      controls(ratio.node, tau.node, button("Draw again", () => { state.seed += 1; draw(); }), show,
        button("Another clip", () => pose((state.clip + 1) % clips.length))),
      words, answers, tokens.node);
    state.hidden = new Uint8Array(segments * joints);
    pose(0);
    clock.begin();
  }

  /** The race behind the mask: each token arrives after an exponential time; the last ones stay. */
  function raceFigure(root, data) {
    const count = data.moved.length, high = 20, left = 104, wide = 210;
    const state = { seed: 0, races: 0, caught: new Array(count).fill(0) };
    const words = said();
    const picture = s("svg", { class: "sj-race", viewBox: `0 0 412 ${count * high + 18}`, role: "img",
      "aria-label": "A lane for each token, the finish at the right, and how often each one was hidden" });
    const lanes = data.joints.map((joint, k) => {
      const y = k * high + high / 2, side = data.skeleton.side[joint];
      const runner = s("circle", { class: `sj-joint ${side}`, cy: y, r: 6 });
      const bar = s("rect", { class: `sj-cell hollow ${side}`, x: left + wide + 12, y: y - 6, height: 12, width: 0 });
      const share = s("text", { x: left + wide + 56, y: y + 4 });
      picture.append(s("text", { x: left - 12, y: y + 4, "text-anchor": "end" }, data.skeleton.joints[joint]),
        s("line", { class: "sj-axis", x1: left, x2: left + wide, y1: y, y2: y }), runner, bar, share);
      return { runner, bar, share };
    });
    [[left + wide, "finish"], [left + wide + 44, "hidden"]].forEach(([x, text]) => picture.append(
      s("text", { x, y: count * high + 12, "text-anchor": "middle" }, text)));
    let race;
    function run() {
      state.seed += 1;
      const next = uniform(state.seed), noise = data.moved.map(() => -Math.log(1 - next()));
      const most = Math.max(...data.moved);
      const arrival = noise.map((e, k) => e / Math.exp(data.moved[k] / (tau.value * most)));
      race = { arrival, hidden: drawMask(data.moved, data.ratio, tau.value, noise), over: false };
      race.end = Math.max(...arrival.filter((_, k) => race.hidden[k]));
    }
    function finish() {
      race.over = true;
      race.hidden.forEach((h, k) => { state.caught[k] += h; });
      state.races += 1;
    }
    const called = (k) => data.skeleton.joints[data.joints[k]];
    function redraw(share = clock.share) {
      const time = 1.1 * share * race.end;  // the last tenth shows how it ended
      if (!race.over && time >= race.end) finish();
      const arrived = race.arrival.map((at, k) => race.hidden[k] && at <= time);
      lanes.forEach(({ runner, bar, share: part }, k) => {
        set(runner, { cx: left + wide * (arrived[k] ? 1 : Math.min(time, race.end) / race.arrival[k]) });
        runner.classList.toggle("hollow", arrived[k]);
        const caught = state.races ? state.caught[k] / state.races : 0;
        set(bar, { width: 40 * caught });
        part.textContent = state.races ? `${Math.round(100 * caught)} %` : "";
      });
      root.dataset.races = state.races;
      const stay = data.joints.map((_, k) => k).filter((k) => !arrived[k]).map(called);
      const most = state.caught.indexOf(Math.max(...state.caught));
      words.textContent = `${count - stay.length} of ${count} have arrived and are hidden, visible: `
        + `${stay.join(", ")}. ` + (state.races ? `Races so far: ${state.races}; hidden most often: `
        + `${called(most)}.` : "");
    }
    const begin = () => { run(); clock.begin(); redraw(); };
    const tau = slider("Temperature τ", { min: 0.05, max: 3, step: 0.05, value: 0.8,
      say: (v) => v.toFixed(2), input: () => {
        Object.assign(state, { races: 0, caught: new Array(count).fill(0) });
        begin();
      } });
    const clock = player(root, { seconds: 4, frames: 101, draw: redraw });
    root.prepend(picture, controls(...clock.nodes, tau.node, button("New race", begin),
      button("Run 1,000 races", () => {
        for (let k = 0; k < 1000; k++) { run(); finish(); }
        clock.go(false);
        clock.jump(1);
      })), words);
    begin();
  }

  /** Centre and sharpen: the distribution of one token, and which channels win, of recorded runs. */
  function lossFigure(root, data) {
    const runs = data.runs.map((r) => Object.assign({}, r,
      { target: unpack(r.target), predicted: unpack(r.predicted) }));
    const [tokens, channels] = runs[0].target.shape;
    let run = runs[0];
    const charts = [1, 2].map(() => s("svg", { viewBox: "0 0 320 150", class: "sj-chart", role: "img" }));
    const titles = ["One token: what is asked for (bars) and what the predictor says (line)",
      "Which channels win: share of tokens, the commonest channel first"];
    const words = said();
    const log = (v) => Math.exp(v);
    const two = (v) => log(v).toFixed(log(v) < 0.1 ? 3 : 2);
    const options = (name, value) => ({ min: Math.log(0.02), max: 0, step: 0.01, value: Math.log(value),
      say: two, input: redraw });
    const tauT = slider("Target's τ", options("τt", data.tau_t));
    const tauP = slider("Predictor's τ", options("τp", data.tau_p));
    const share = slider("Centre taken off", { min: 0, max: 1, step: 0.05, value: 1,
      say: (v) => `${Math.round(100 * v)} %`, input: redraw });
    const token = slider("Token", { min: 1, max: tokens, step: 1, value: 1, input: redraw });
    function bars(chart, values, line, top) {
      const wide = 300 / values.length, y = (v) => 140 - (130 * Math.min(v, top)) / top;
      const nodes = values.map((v, k) => s("rect", { class: "sj-bar", x: 14 + k * wide, y: y(v),
        width: Math.max(wide - 0.8, 0.5), height: 140 - y(v) }));
      if (line) nodes.push(s("polyline", { class: "sj-line",
        points: line.map((v, k) => `${14 + (k + 0.5) * wide},${y(v)}`).join(" ") }));
      nodes.push(s("text", { x: 2, y: 10 }, top >= 1 ? "1" : top.toFixed(2)), s("text", { x: 2, y: 146 }, "0"),
        s("line", { class: "sj-axis", x1: 12, x2: 318, y1: 140, y2: 140 }));
      chart.replaceChildren(...nodes);
    }
    function redraw() {
      const read = readLoss(run, share.value, log(tauT.value), log(tauP.value));
      const { wanted, guess } = read.token(token.value - 1);
      const nice = (v) => [0.05, 0.1, 0.25, 0.5, 1].find((top) => v <= top) || 1;
      bars(charts[0], wanted, guess, nice(Math.max(...wanted, ...guess)));
      bars(charts[1], read.wins, null, nice(read.wins[0]));
      words.textContent = `All ${tokens} tokens: target entropy ${read.entropy.toFixed(2)} of `
        + `${Math.log(channels).toFixed(2)} nats, loss ${read.loss.toFixed(2)}, of which the predictor could `
        + `still gain ${(read.loss - read.entropy).toFixed(2)}; the commonest channel wins `
        + `${(100 * read.wins[0]).toFixed(0)} %.`;
      charts.forEach((chart, k) => chart.setAttribute("aria-label", titles[k]));
      Object.assign(root.dataset, { entropy: read.entropy.toFixed(4), top: read.wins[0].toFixed(4) });
    }
    const pickRun = choice("Case", runs.map((r) => r.name), run.name, (name) => {
      run = runs.find((r) => r.name === name);
      tauT.value = Math.log(run.tau_t);
      share.value = run.centred ? 1 : 0;
      redraw();
    });
    root.prepend(pickRun, h("div", { class: "sj-pair" }, ...charts.map((chart, k) =>
      h("div", {}, h("div", { class: "sj-title" }, titles[k]), chart))), words,
    controls(tauT.node, tauP.node, share.node, token.node));
    root.dataset.state = "ready";
    redraw();
  }

  /** Neighbours: a map of clips in several spaces; the chosen clip plays with its nearest ones. */
  function mapFigure(root, data) {
    const frames = unpack(data.frames), total = frames.shape[0], names = Object.keys(data.spaces);
    const clipOf = (k) => { const c = row(frames, k); return { shape: c.shape, data: c.data }; };
    const points = Object.fromEntries(names.map((n) => [n, unpack(data.spaces[n].xy)]));
    let space = names[0], at = 0;
    const words = said();
    const picture = s("svg", { class: "sj-map", viewBox: "-105 -105 210 210", role: "img",
      "aria-label": "Map of clips; the slider “Clip” walks over them" });
    const lines = Array.from({ length: 3 }, () => s("line", { class: "sj-axis" }));
    const dots = data.labels.map((label, k) => s("circle", { r: 3.6, class: "sj-dot",
      onpointerenter: () => choose(k), onpointerdown: () => choose(k) },
    s("title", {}, data.classes[label])));
    picture.append(...lines, ...dots);
    const board = stage(data.skeleton, { yaw: data.yaw, redraw: () => board.draw(clock.share) });
    const clock = player(root, { seconds: data.seconds, frames: frames.shape[1], draw: (v) => board.draw(v) });
    const clip = slider("Clip", { min: 1, max: total, step: 1, value: 1,
      say: (v) => data.classes[data.labels[v - 1]], input: (v) => choose(v - 1) });
    const near = (k) => data.spaces[space].near[k];
    const same = (k) => data.labels[near(k)[0]] === data.labels[k];
    function choose(k) {
      at = k;
      clip.value = k + 1;
      const called = (m) => data.classes[data.labels[m]];
      board.show([{ clip: clipOf(k), title: called(k) },
        ...near(k).slice(0, 3).map((m, n) => ({ clip: clipOf(m), title: `${n + 1}: ${called(m)}` }))]);
      board.draw(clock.share);
      place();
    }
    function place() {
      const xy = points[space].data, spot = (k) => [100 * xy[2 * k], -100 * xy[2 * k + 1]];
      dots.forEach((dot, k) => {
        dot.style.transform = `translate(${spot(k).map((v) => `${v.toFixed(1)}px`).join(",")})`;
        dot.classList.toggle("other", !same(k));
        dot.classList.toggle("kin", data.labels[k] === data.labels[at]);
        dot.classList.toggle("chosen", k === at);
      });
      lines.forEach((line, n) => {
        const [a, b] = [spot(at), spot(near(at)[n])];
        set(line, { x1: a[0], y1: a[1], x2: b[0], y2: b[1] });
      });
      const hits = sum(data.labels.map((_, k) => Number(same(k))));
      root.dataset.space = space;
      root.dataset.clip = at + 1;
      words.textContent = `${space}: for ${hits} of ${total} clips the nearest other clip shows the same `
        + `action (filled dots). Chosen: ${data.classes[data.labels[at]]}; rings mark the clips of that action.`;
    }
    root.prepend(choice("Features", names, space, (name) => { space = name; choose(at); }),
      h("div", { class: "sj-pair" }, picture, board.node), words,
      controls(clip.node, ...clock.nodes, board.turn.node));
    choose(0);
    clock.begin();
  }

  /** Your own motion: a file is read, encoded and compared here; nothing leaves the machine. */
  function ownFigure(root, data) {
    const weights = Object.fromEntries(Object.entries(data.weights).map(([n, w]) => [n, unpack(w)]));
    const frames = unpack(data.frames), gallery = unpack(data.features);
    const words = said(), board = stage(data.skeleton, { yaw: data.yaw, redraw: () => board.draw(clock.share) });
    const clock = player(root, { seconds: data.seconds, frames: 60, draw: (v) => board.draw(v) });
    const input = h("input", { type: "file", accept: ".bvh,.csv,.json", id: `sj-${++count}`,
      onchange: () => input.files[0] && open(input.files[0]) });
    const drop = h("label", { class: "sj-drop", for: input.id },
      "Drop a file here or choose one: BVH with the names of "
      + `${data.maps.conventions.map((c) => c.name).join(", ")}, Kinect CSV, MediaPipe JSON `, input);
    drop.addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (e) => {
      e.preventDefault();
      drop.classList.remove("over");
      if (e.dataTransfer.files[0]) open(e.dataTransfer.files[0]);
    });
    const open = (file) => file.text().then((text) => read(file.name, text));
    function read(name, text) {
      root.dataset.state = "reading";
      delete root.dataset.result;
      delete root.dataset.guess;
      words.textContent = `Reading ${name} …`;
      setTimeout(() => {  // so that the words are seen first
        try { answer(name, readMotion(name, text, data.maps)); } catch (error) {
          clock.go(false);
          board.show([]);
          bar.hidden = true;
          root.dataset.state = "error";
          words.textContent = error.message;
        }
      }, 30);
    }
    function answer(name, clip) {
      const start = performance.now();
      const found = neighbours(embed(data.shape, weights, clip), gallery, data.labels, 5);
      const took = (performance.now() - start) / 1000;
      const called = (k) => data.classes[data.labels[k]];
      const mine = { shape: [clip.shape[0], 1, 25, 3], data: clip.data };
      board.show([{ clip: mine, title: name }, ...found.near.slice(0, 3).map((k, n) => {
        const c = row(frames, k);
        return { clip: c, title: `${n + 1}: ${called(k)}` };
      })]);
      root.dataset.guess = data.classes[found.guess];
      words.textContent = `${clip.shape[0]} frames. Nearest clips: `
        + `${found.near.map((k, n) => `${called(k)} (${found.cosine[n].toFixed(3)})`).join(", ")}. `
        + `They vote for: ${data.classes[found.guess]}. Computed here in ${took.toFixed(1)} s. ${data.words}`;
      bar.hidden = false;
      clock.begin();
      root.dataset.result = "done";
    }
    root.prepend(drop, controls(...data.examples.map((e) =>
      button(`Example: ${e.name}`, () => read(e.name, e.text)))), words, board.node,
    controls(...clock.nodes, board.turn.node));
    const bar = clock.nodes[0].parentNode;
    read(data.examples[0].name, data.examples[0].text);
  }

  /** A loop that SVG itself plays: it gets a button, and rests while it is off the screen. */
  function loopFigure(root) {
    const picture = root.querySelector("svg");
    let playing = true, seen = true;
    const apply = () => (playing && seen ? picture.unpauseAnimations() : picture.pauseAnimations());
    const press = button("Pause", () => go(!playing));
    function go(on) {
      playing = on;
      press.textContent = on ? "Pause" : "Play";
      root.dataset.state = on ? "playing" : "paused";
      apply();
    }
    new IntersectionObserver((e) => { seen = e[e.length - 1].isIntersecting; apply(); }).observe(root);
    root.append(controls(press));
    go(!still());
  }

  /** A moving picture with a still beside it: <picture><source (still)><img (moving)></picture>. */
  function pictureFigure(root) {
    const source = root.querySelector("source"), image = root.querySelector("img");
    const moving = image.getAttribute("src"), resting = source.getAttribute("srcset");
    source.remove();
    const press = button("Pause", () => go(root.dataset.state !== "playing"));
    function go(on) {
      image.src = on ? moving : resting;
      press.textContent = on ? "Pause" : "Play";
      root.dataset.state = on ? "playing" : "paused";
    }
    root.append(controls(press));
    go(!still());
  }

  const KINDS = { turn: turnFigure, mask: maskFigure, race: raceFigure, loss: lossFigure, map: mapFigure, own: ownFigure,
    loop: loopFigure, picture: pictureFigure };

  function mount() {
    document.querySelectorAll("[data-figure]:not([data-state])").forEach((root) => {
      const build = KINDS[root.dataset.figure], made = root.querySelector("script[type='application/json']");
      if (!build) return;
      root.dataset.state = "building";
      root.querySelectorAll(".sj-still").forEach((node) => node.remove());
      build(root, made && JSON.parse(made.textContent));
    });
  }

  /** Mount now and soon: a notebook may put an output in place a little after its script ran. */
  const settle = () => { mount(); [300, 1500].forEach((wait) => setTimeout(mount, wait)); };
  window.sjepaFigures = Object.assign({ mount: settle }, computing);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  else settle();
})();
