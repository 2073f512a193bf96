// TensorFlow.js's batch norm on its WebGPU backend, on Dawn in Node, as a peer. Its functions normalize over the last axis;
// a layer with axis 1 takes channels-first tensors.
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import {createRequire} from 'node:module';
import {create, globals} from 'webgpu';

// What a library prints must not get among the replies.
console.log = console.info = console.debug = console.error;
Object.assign(globalThis, globals);
const gpu = create([]);
Object.defineProperty(globalThis, 'navigator', {value: {gpu, userAgent: 'node'}, configurable: true});

const tf = await import('@tensorflow/tfjs');
await import('@tensorflow/tfjs-backend-webgpu');
tf.env().set('IS_BROWSER', false);

const EPSILON = 1e-5;
const MOMENTUM = 0.1;
const VECTORS = ['gamma', 'beta', 'mean', 'variance'];

if (!await tf.setBackend('webgpu')) throw new Error('the WebGPU backend of TensorFlow.js does not start');
await tf.ready();

const require = createRequire(import.meta.url);
const version = name => {
  const file = path.join(path.dirname(require.resolve(name)), '..', 'package.json');
  return JSON.parse(fs.readFileSync(fs.existsSync(file) ? file : require.resolve(`${name}/package.json`))).version;
};

// The first thing that the device found invalid: it computes nothing then, and nothing else would say so.
let invalid = null;
tf.backend().device.addEventListener('uncapturederror', ({error}) => (invalid ??= error.message));

// Waits until the device is done, without reading a tensor back.
async function wait() {
  const backend = tf.backend();
  // Submitting fails where nothing is recorded.
  if (backend.commandEncoder) {
    backend.endComputePassEncoder();
    backend.submitQueue();
  }
  await backend.queue.onSubmittedWorkDone();
  if (invalid) throw new Error(invalid);
}

class Layer {
  constructor(work) {
    const input = name => {
      const bytes = fs.readFileSync(path.join(work.folder, `${name}.f32`));
      return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    };
    this.operation = work.operation;
    this.axis = work.layout === 'channels-last' ? work.shape.length - 1 : 1;
    this.last = this.axis === work.shape.length - 1;
    this.reduced = work.shape.map((_, axis) => axis).filter(axis => axis !== this.axis);
    this.broadcast = work.shape.map((size, axis) => (axis === this.axis ? size : 1));
    this.x = tf.tensor(input('x'), work.shape);
    this.dy = work.operation === 'step' ? tf.tensor(input('dy'), work.shape) : null;
    this.vectors = Object.fromEntries(VECTORS.map(name => [name, tf.tensor1d(input(name))]));
    this.layer = tf.layers.batchNormalization({axis: this.axis, epsilon: EPSILON, momentum: 1 - MOMENTUM});
    this.layer.build(work.shape);
    this.layer.setWeights(VECTORS.map(name => this.vectors[name]));
  }

  // What the layer computes in training, as a function of what has a gradient: the layer's own variables are not its
  // arguments.
  training(x, gamma, beta) {
    const {mean, variance} = tf.moments(x, this.reduced);
    const shaped = v => (this.last ? v : v.reshape(this.broadcast));
    const y = this.last ? tf.batchNorm(x, mean, variance, beta, gamma, EPSILON) :
      tf.batchNorm(x, shaped(mean), shaped(variance), shaped(beta), shaped(gamma), EPSILON);
    tf.keep(y);
    this.moments = [tf.keep(mean), tf.keep(variance)];
    return y;
  }

  // The results by name; the caller disposes of them.
  run() {
    switch (this.operation) {
      case 'double':
        return {y: tf.mul(this.x, 2)};
      case 'inference':
        return {y: tf.tidy(() => this.layer.apply(this.x, {training: false}))};
      case 'training':
        return {y: tf.tidy(() => this.layer.apply(this.x, {training: true}))};
      case 'step': {
        const {gamma, beta} = this.vectors;
        let y;
        const [dx, dgamma, dbeta] = tf.tidy(() => tf.grads((...inputs) => (y = this.training(...inputs)))(
            [this.x, gamma, beta], this.dy));
        tf.tidy(() => {
          const [, , mean, variance] = this.layer.weights;
          [mean, variance].forEach((running, i) => {
            const old = running.read();
            running.write(old.sub(old.sub(this.moments[i].reshape(old.shape)).mul(MOMENTUM)));
          });
        });
        tf.dispose(this.moments);
        return {y, dx, dgamma, dbeta};
      }
    }
  }

  async repeat(repeats) {
    for (let i = 0; i < repeats; i++) tf.dispose(this.run());
    await wait();
  }

  async results() {
    const results = this.run();
    if (this.operation === 'training' || this.operation === 'step') {
      const [, , mean, variance] = this.layer.getWeights();
      Object.assign(results, {mean: mean.clone(), variance: variance.clone()});
    }
    const values = {};
    for (const [name, tensor] of Object.entries(results)) values[name] = await tensor.data();
    tf.dispose(results);
    return values;
  }

  dispose() {
    tf.dispose([this.x, this.dy, this.vectors]);
    // The layer's own dispose refuses where it was not applied.
    this.layer.weights.forEach(weight => weight.dispose());
  }
}

let prepared = null;
function release() {
  prepared?.dispose();
  prepared = null;
}

async function answer(request) {
  switch (request.do) {
    case 'about': {
      const info = tf.backend().adapterInfo?.adapterInfo ?? tf.backend().adapterInfo;
      const found = await gpu.requestAdapter();
      return {
        versions: {'@tensorflow/tfjs': tf.version.tfjs, webgpu: version('webgpu'), node: process.versions.node},
        adapter: found?.info?.device || info?.device,
        driver: found?.info?.description || info?.description,
      };
    }
    case 'prepare':
      release();
      prepared = new Layer(request);
      await wait();
      return null;
    case 'time': {
      const cpu = process.cpuUsage();
      const wall = performance.now();
      await prepared.repeat(request.repeats);
      const seconds = (performance.now() - wall) / 1e3;
      const {user, system} = process.cpuUsage(cpu);
      return {wall: seconds, cpu: (user + system) / 1e6};
    }
    case 'results': {
      const results = await prepared.results();
      for (const [name, values] of Object.entries(results)) {
        fs.writeFileSync(path.join(request.into, `${name}.f32`), Float32Array.from(values));
      }
      return Object.keys(results);
    }
    case 'release':
      release();
      return null;
    default:
      throw new Error(`unknown request ${request.do}`);
  }
}

for await (const line of readline.createInterface({input: process.stdin})) {
  let reply;
  try {
    reply = {ok: (await answer(JSON.parse(line))) ?? null};
  } catch (error) {
    reply = {refused: String(error).slice(0, 600)};
  }
  fs.writeSync(1, JSON.stringify(reply) + '\n');
}
process.exit(0);
