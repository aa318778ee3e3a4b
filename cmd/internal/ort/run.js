// Runs models with ONNX Runtime. Arguments: the folder with node_modules, then folders of jobs. A job is job.json with the model's
// path, its inputs (name, type, dims, file) and options; its results are written beside it, and named in done.json.
const fs = require('fs');
const path = require('path');
const ort = require(path.join(process.argv[2], 'node_modules', 'onnxruntime-node'));

const arrays = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
};

function bytesOf(data) { return Buffer.from(data.buffer, data.byteOffset, data.byteLength); }

async function one(dir) {
  const job = JSON.parse(fs.readFileSync(path.join(dir, 'job.json')));
  const began = process.hrtime.bigint();
  const session = await ort.InferenceSession.create(job.model, {
    intraOpNumThreads: job.threads, interOpNumThreads: 1, logSeverityLevel: 4,
    graphOptimizationLevel: job.optimise ? 'all' : 'disabled',
  });
  const load = Number(process.hrtime.bigint() - began) / 1e9;
  const feeds = {};
  for (const i of job.inputs || []) {
    const raw = fs.readFileSync(path.join(dir, i.file));
    const own = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength);
    let data;
    if (i.type === 'float16') {
      data = typeof Float16Array === 'undefined' ? new Uint16Array(own) : new Float16Array(own);
    } else {
      data = new arrays[i.type](own);
    }
    feeds[i.name] = new ort.Tensor(i.type, data, i.dims);
  }
  let got, seconds = [];
  for (let k = 0; k < job.runs; k++) {
    const start = process.hrtime.bigint();
    got = await session.run(feeds);
    seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
  }
  const outputs = [];
  session.outputNames.forEach((name, k) => {
    const t = got[name];
    const file = `out_${k}.bin`;
    fs.writeFileSync(path.join(dir, file), bytesOf(t.data));
    outputs.push({name, type: t.type, dims: Array.from(t.dims), file});
  });
  if (session.release) await session.release();
  fs.writeFileSync(path.join(dir, 'done.json'), JSON.stringify({load, seconds, outputs}));
}

(async () => {
  for (const dir of process.argv.slice(3)) {
    try {
      await one(dir);
    } catch (e) {
      fs.writeFileSync(path.join(dir, 'done.json'), JSON.stringify({error: String(e && e.message || e)}));
    }
  }
})();
