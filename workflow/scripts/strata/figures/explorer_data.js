// What explorer_packing.py packs, unpacked: a prompt only when it is shown.

async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** What holds for all prompts: the index, the table of tokens, scales and colours. */
async function unpackHeader(base64) {
  return JSON.parse(new TextDecoder().decode(await inflate(base64)));
}

/** One prompt: its own header, then whole numbers cut into their four bytes, all lowest bytes first. */
async function unpackPrompt(header, base64) {
  const bytes = await inflate(base64);
  const end = bytes.indexOf(10);
  const own = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  const integers = new Uint32Array((bytes.length - end - 1) / own.planes);
  for (let plane = 0, i = end + 1; plane < own.planes; plane++) {
    for (let at = 0; at < integers.length; at++) integers[at] |= bytes[i++] << (8 * plane);
  }
  let start = 0;
  const take = (length) => integers.subarray(start, (start += length));
  const lenses = header.decoders.map((decoder) => new Lens(header, own, decoder));
  const nCells = own.input.length * header.depths.length;
  for (const read of ["readGuesses", "readLogprobs"]) for (const lens of lenses) lens[read](take(nCells * header.k));
  for (const name of SERIES) for (const lens of lenses) lens.series[name] = lens.sum(take(nCells));
  for (const lens of lenses) if (lens.isRanked) lens.readRanks(take);
  const trace = own.trace && new Trace(header, own, take);
  return { ...own, lenses, trace };
}

// Read out at every depth: logits and nats, then ranks and log-probabilities of three tokens
const SERIES = ["logit", "entropy", "kl_final", "kl_input", "rank_final", "rank_input", "rank_target",
  "logprob_final", "logprob_input", "logprob_target"];

/** One decoder's readouts at token t and depth index d of a prompt. Tokens are entries of the header's table. */
class Lens {
  constructor(header, { input, target }, { name, what, norm, ranks, halves }) {
    Object.assign(this, { header, input, target, name, what, norm, isRanked: ranks, hasHalves: halves });
    this.nDepths = header.depths.length;
    this.series = {};
    this.ranksOf = new Map();
  }

  /** A guess is told by its place among those of the depth below, if it is one of them. */
  readGuesses(packed) {
    const { k } = this.header;
    this.guesses = new Int32Array(packed.length);
    for (let i = 0; i < packed.length; i++) {
      const below = Math.floor(i / k - 1) * k;
      this.guesses[i] = packed[i] < k ? this.guesses[below + packed[i]] : packed[i] - k;
    }
  }

  /** A log-probability is told by its gap to that of the guess before. */
  readLogprobs(packed) {
    const { k } = this.header;
    this.logprobs = new Float64Array(packed.length);
    for (let i = 0, sum = 0; i < packed.length; i++) {
      sum = packed[i] + (i % k ? sum : 0);
      this.logprobs[i] = -this.straight(sum);
    }
  }

  /** The others by their changes from one depth to the next, with the signs in the lowest bit. */
  sum(packed) {
    const sums = Int32Array.from(packed, (change) => (change >>> 1) ^ -(change & 1));
    for (let i = 0; i < sums.length; i++) if (i % this.nDepths) sums[i] += sums[i - 1];
    return sums;
  }

  /** Ranks of those top guesses of a position that are none of its references, by first depth on top. */
  readRanks(take) {
    for (let t = 0; t < this.input.length; t++) {
      for (let d = 0; d < this.nDepths; d++) {
        const token = this.guess(t, d);
        const key = this.key(t, token);
        if (this.reference(t, token) || this.ranksOf.has(key)) continue;
        this.ranksOf.set(key, this.sum(take(this.nDepths)));
      }
    }
  }

  key(t, token) {
    return `${t} ${token}`;
  }

  /** Nats, from what explorer_packing.py rounds of them. */
  straight(bent) {
    return Math.expm1(bent / this.header.steps) / this.header.bend;
  }

  cell(t, d) {
    return t * this.nDepths + d;
  }

  guess(t, d, place = 0) {
    return this.guesses[this.cell(t, d) * this.header.k + place];
  }

  logprob(t, d, place = 0) {
    return this.logprobs[this.cell(t, d) * this.header.k + place];
  }

  logit(t, d, place = 0) {
    const top = this.series.logit[this.cell(t, d)] / this.header.logitSteps;
    return top + this.logprob(t, d, place) - this.logprob(t, d);
  }

  nats(name, t, d) {
    return this.straight(this.series[name][this.cell(t, d)]);
  }

  final(t) {
    return this.guess(t, this.nDepths - 1);
  }

  /** Which of the tokens that are read out at every depth a token is at position t, if any. */
  reference(t, token) {
    if (token === this.final(t)) return "final";
    if (token === this.input[t]) return "input";
    return token === this.target[t] ? "target" : null;
  }

  /** Ranks of a token at every depth, from 0; null at depths that tell none. */
  ranks(t, token) {
    const { nDepths } = this;
    const every = Array.from({ length: nDepths }, (_, d) => d);
    if (this.reference(t, token)) return every.map((d) => this.rankOf(t, d, token));
    const codes = this.ranksOf.get(this.key(t, token));
    if (codes) return every.map((d) => this.rankFrom(codes[d]));
    return every.map((d) => this.placeOf(t, d, token));
  }

  /** Place of a token among the k best guesses, from 0; null if it is none of them. */
  placeOf(t, d, token) {
    const from = this.cell(t, d) * this.header.k;
    const place = this.guesses.subarray(from, from + this.header.k).indexOf(token);
    return place < 0 ? null : place;
  }

  /** A rank, from what explorer_packing.py rounds of it: exact below `exact`. */
  rankFrom(code) {
    const { exact, rankSteps } = this.header;
    return code < exact ? code : Math.round(exact * Math.exp((code - exact) / rankSteps));
  }

  /** Rank, from 0, of the final top guess, the input token or the true next token. */
  rankOf(t, d, token) {
    return this.rankFrom(this.series[`rank_${this.reference(t, token)}`][this.cell(t, d)]);
  }

  /** Log-probability of the same; packed where it is none of the k best. */
  logprobOf(t, d, token) {
    const place = this.placeOf(t, d, token);
    if (place !== null) return this.logprob(t, d, place);
    return -this.straight(this.series[`logprob_${this.reference(t, token)}`][this.cell(t, d)]);
  }
}

/** A causal trace: the target's probability with the state at (depth d, position t) put back, by noise level. */
class Trace {
  constructor(header, own, take) {
    Object.assign(this, own.trace); // start, stop: of the noised tokens; clean, corrupted (null: no such level)
    this.nDepths = header.traceDepths.length;
    this.nTokens = own.input.length;
    this.restored = take(header.noises.length * this.nDepths * (this.nTokens - this.start));
    this.steps = header.probabilitySteps;
  }

  p(noise, d, t) {
    const width = this.nTokens - this.start;
    return this.restored[(noise * this.nDepths + d) * width + t - this.start] / this.steps;
  }

  /** Share of the loss that is made good: 0 as in the corrupted run, 1 as in the clean one. */
  restoration(noise, d, t) {
    return (this.p(noise, d, t) - this.corrupted[noise]) / (this.clean - this.corrupted[noise]);
  }
}
