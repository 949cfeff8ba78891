// Calls an exposed node from JavaScript; docs/wire.md is all it knows.
//
//     node client.mjs endpoint.json METHOD ARGUMENT ...
//
// with arguments in JSON. `endpoint.json` is `dataclasses.asdict(run.endpoint(handle))`.
// It needs modules of Node.js only, so that it can be read, and copied, as it is.

import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import tls from "node:tls";
import url from "node:url";

const CALL = 0, CANCEL = 1, ERROR = 3;
const HEADER_BYTES = 36;

/** Numbers in rows: a type such as "<f4", the sizes of the axes, and the bytes. */
export class NumberArray {
  constructor(dtype, shape, bytes) {
    Object.assign(this, { dtype, shape, bytes });
  }

  /** Of a typed array; its length is the shape, if none is given. */
  static of(values, shape = [values.length]) {
    const dtype = Object.keys(KINDS).find((key) => values instanceof KINDS[key]);
    const { buffer, byteOffset, byteLength } = values;
    return new NumberArray(dtype, shape, Buffer.from(buffer, byteOffset, byteLength));
  }

  /** As a typed array, which has a copy of the numbers. */
  values() {
    const bytes = Uint8Array.from(this.bytes);
    return new KINDS[this.dtype](bytes.buffer);
  }
}

const KINDS = {
  "<f4": Float32Array, "<f8": Float64Array, "|u1": Uint8Array, "|i1": Int8Array,
  "<i2": Int16Array, "<u2": Uint16Array, "<i4": Int32Array, "<u4": Uint32Array,
  "<i8": BigInt64Array, "<u8": BigUint64Array,
};

/** What a call throws that the node refused, or whose method raised. */
export class CallFailed extends Error {
  constructor({ type, message }) {
    super(message);
    this.type = type;
  }
}

/** A connection to an exposed node. */
export class Client {
  #received = []; // Pieces, and how many bytes they have together.
  #numReceived = 0;
  #wanted = null; // Who waits for bytes: how many, and what to do then.
  #waiting = new Map(); // Calls without an outcome, by their numbers.
  #next = 0;
  #lost = null;

  /** Connects, and shows that it has the key. */
  static async connect(endpoint) {
    const client = new Client();
    client.node = endpoint.node;
    client.socket = await opened(endpoint);
    client.socket.setNoDelay(true);
    client.socket.on("data", (bytes) => client.#take(bytes));
    client.socket.on("error", (error) => client.#lose(error));
    client.socket.on("close", () =>
      client.#lose(new Error("the node has closed the connection")));
    try {
      await client.#greet(Buffer.from(endpoint.key, "hex"));
    } catch (error) {
      client.close();
      throw error;
    }
    client.#readAll().catch((error) => client.#lose(error));
    return client;
  }

  async #greet(key) {
    const first = await this.#receive(40);
    if (first.toString("latin1", 0, 8) !== "aLexpose") {
      throw new Error("no exposed node listens there");
    }
    const nonce = crypto.randomBytes(32);
    const proof = (words) => crypto.createHmac("sha256", key)
      .update(Buffer.concat([Buffer.from(words), nonce, first.subarray(8)])).digest();
    this.socket.write(
      Buffer.concat([Buffer.from("aLcaller"), nonce, proof("aLcaller")]));
    const reply = await this.#receive(40);
    const expected = Buffer.concat([Buffer.from("aLcallee"), proof("aLcallee")]);
    if (!crypto.timingSafeEqual(reply, expected)) {
      throw new Error("the other end does not have the node's key");
    }
  }

  /** Calls a method; the promise is its outcome. */
  call(method, ...args) {
    return this.start(method, args).outcome;
  }

  /** Sends a call; returns its number, and the promise of its outcome. */
  start(method, args = [], { kwargs = {}, seconds = null } = {}) {
    const number = this.#next++;
    const outcome = new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      this.#waiting.set(number, { resolve, reject });
      this.#send(CALL, number, [this.node, method, args, kwargs, seconds]);
    });
    return { number, outcome };
  }

  /** Withdraws a call that waits at the node; its outcome then says so. */
  cancel(number) {
    this.#send(CANCEL, number, null);
  }

  close() {
    this.socket.destroy();
  }

  #send(kind, number, value) {
    const buffers = [];
    const body = pack(value, buffers);
    const head = Buffer.alloc(HEADER_BYTES + 8 * buffers.length);
    head.write("aD", 4, "latin1");
    head.writeUInt8(4, 6);
    head.writeUInt8(kind, 7);
    head.writeUInt32LE(buffers.length, 8);
    head.writeInt32LE(-1, 12);
    head.writeBigUInt64LE(BigInt(number), 16);
    head.writeBigInt64LE(BigInt(body.length), 24);
    buffers.forEach((buffer, i) =>
      head.writeBigInt64LE(BigInt(buffer.length), HEADER_BYTES + 8 * i));
    head.writeUInt32LE(crc32(Buffer.concat([head.subarray(4), body])), 0);
    const pieces = [head, ...[body, ...buffers].flatMap(
      (part) => [part, Buffer.alloc(-part.length & 63)])];
    this.socket.write(Buffer.concat(pieces));
  }

  async #readAll() {
    for (;;) {
      const head = await this.#receive(HEADER_BYTES);
      if (head.toString("latin1", 4, 6) !== "aD" || head[6] !== 4) {
        throw new Error("what arrives is no frame of version 4");
      }
      const sizes = await this.#receive(8 * head.readUInt32LE(8));
      const lengths = [Number(head.readBigInt64LE(24))];
      for (let at = 0; at < sizes.length; at += 8) {
        lengths.push(Number(sizes.readBigInt64LE(at)));
      }
      const parts = [];
      for (const length of lengths) {
        const padded = await this.#receive(length + (-length & 63));
        parts.push(padded.subarray(0, length));
      }
      const [body, ...buffers] = parts;
      const checked = Buffer.concat([head.subarray(4), sizes, body]);
      if (crc32(checked) !== head.readUInt32LE(0)) {
        throw new Error("a frame has changed on its way");
      }
      const number = Number(head.readBigUInt64LE(16));
      const call = this.#waiting.get(number);
      this.#waiting.delete(number);
      const value = unpack(body, buffers);
      if (head[7] === ERROR) call?.reject(new CallFailed(value));
      else call?.resolve(value);
    }
  }

  #receive(numBytes) {
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      this.#wanted = { numBytes, resolve, reject };
      this.#take(null);
    });
  }

  #take(bytes) {
    if (bytes !== null) this.#received.push(bytes);
    this.#numReceived += bytes?.length ?? 0;
    if (this.#wanted === null || this.#numReceived < this.#wanted.numBytes) return;
    const { numBytes, resolve } = this.#wanted;
    const all = Buffer.concat(this.#received);
    this.#received = [all.subarray(numBytes)];
    this.#numReceived -= numBytes;
    this.#wanted = null;
    resolve(all.subarray(0, numBytes));
  }

  #lose(error) {
    this.#lost ??= error;
    this.#wanted?.reject(this.#lost);
    this.#wanted = null;
    for (const call of this.#waiting.values()) call.reject(this.#lost);
    this.#waiting.clear();
    this.socket.destroy();
  }
}

/** A connected socket, with TLS 1.3 if the endpoint has a certificate. */
function opened({ ip, port, name, authority }) {
  return new Promise((resolve, reject) => {
    const socket = name
      ? tls.connect({
          host: ip, port, servername: name, ca: authority, minVersion: "TLSv1.3",
        })
      : net.connect({ host: ip, port });
    socket.once("error", reject);
    socket.once(name ? "secureConnect" : "connect", () => {
      socket.removeListener("error", reject);
      resolve(socket);
    });
  });
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let k = 0; k < 8; k++) i = i & 1 ? 0xedb88320 ^ (i >>> 1) : i >>> 1;
  return i;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// --- MessagePack, as far as it is used -----------------------------------------------

function start(code, length) {
  const bytes = Buffer.alloc(5);
  bytes[0] = code;
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** A value as MessagePack; the bytes of its arrays are added to `buffers`. */
function pack(value, buffers) {
  if (value === null || value === undefined) return Buffer.from([0xc0]);
  if (typeof value === "boolean") return Buffer.from([value ? 0xc3 : 0xc2]);
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    const bytes = Buffer.alloc(9);
    const number = BigInt(value);
    bytes[0] = number < 0n ? 0xd3 : 0xcf;
    if (number < 0n) bytes.writeBigInt64BE(number, 1);
    else bytes.writeBigUInt64BE(number, 1);
    return bytes;
  }
  if (typeof value === "number") {
    const bytes = Buffer.alloc(9);
    bytes[0] = 0xcb;
    bytes.writeDoubleBE(value, 1);
    return bytes;
  }
  if (typeof value === "string") {
    const text = Buffer.from(value, "utf8");
    return Buffer.concat([start(0xdb, text.length), text]);
  }
  if (value instanceof NumberArray) {
    const described = pack([buffers.length, value.dtype, value.shape], []);
    buffers.push(value.bytes);
    return Buffer.concat([start(0xc9, described.length), Buffer.from([1]), described]);
  }
  if (Buffer.isBuffer(value)) {
    return Buffer.concat([start(0xc6, value.length), value]);
  }
  if (Array.isArray(value)) {
    const parts = value.map((part) => pack(part, buffers));
    return Buffer.concat([start(0xdd, parts.length), ...parts]);
  }
  if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    const parts = Object.entries(value).flatMap(
      ([key, part]) => [pack(key, buffers), pack(part, buffers)]);
    return Buffer.concat([start(0xdf, parts.length / 2), ...parts]);
  }
  throw new TypeError(`a ${value.constructor?.name ?? typeof value} cannot be sent`);
}

/** The value that a body is. */
function unpack(body, buffers) {
  let at = 0;
  const take = (numBytes) => {
    at += numBytes;
    if (at > body.length) throw new RangeError("a body has too few bytes");
    return body.subarray(at - numBytes, at);
  };
  const unsigned = (numBytes) => take(numBytes).readUIntBE(0, numBytes);
  // Numbers that JavaScript cannot hold exactly stay as they are.
  const whole = (big) => (Number.isSafeInteger(Number(big)) ? Number(big) : big);
  const text = (length) => take(length).toString("utf8");
  const list = (length) => Array.from({ length }, read);
  const map = (length) =>
    Object.fromEntries(Array.from({ length }, () => [read(), read()]));
  const extension = (length) => {
    if (take(1).readInt8() !== 1) throw new Error("an unknown type of extension");
    const [index, dtype, shape] = unpack(take(length), []);
    return new NumberArray(dtype, shape, buffers[index]);
  };
  const LARGER = {
    0xc0: () => null, 0xc2: () => false, 0xc3: () => true,
    0xc4: () => take(unsigned(1)), 0xc5: () => take(unsigned(2)),
    0xc6: () => take(unsigned(4)),
    0xc7: () => extension(unsigned(1)), 0xc8: () => extension(unsigned(2)),
    0xc9: () => extension(unsigned(4)),
    0xca: () => take(4).readFloatBE(), 0xcb: () => take(8).readDoubleBE(),
    0xcc: () => unsigned(1), 0xcd: () => unsigned(2), 0xce: () => unsigned(4),
    0xcf: () => whole(take(8).readBigUInt64BE()),
    0xd0: () => take(1).readInt8(), 0xd1: () => take(2).readInt16BE(),
    0xd2: () => take(4).readInt32BE(), 0xd3: () => whole(take(8).readBigInt64BE()),
    0xd4: () => extension(1), 0xd5: () => extension(2), 0xd6: () => extension(4),
    0xd7: () => extension(8), 0xd8: () => extension(16),
    0xd9: () => text(unsigned(1)), 0xda: () => text(unsigned(2)),
    0xdb: () => text(unsigned(4)),
    0xdc: () => list(unsigned(2)), 0xdd: () => list(unsigned(4)),
    0xde: () => map(unsigned(2)), 0xdf: () => map(unsigned(4)),
  };
  function read() {
    const first = unsigned(1);
    if (first < 0x80) return first;
    if (first >= 0xe0) return first - 256;
    if (first < 0x90) return map(first & 15);
    if (first < 0xa0) return list(first & 15);
    if (first < 0xc0) return text(first & 31);
    return LARGER[first]();
  }
  return read();
}

if (process.argv[1] && import.meta.url === url.pathToFileURL(process.argv[1]).href) {
  const [path, method, ...args] = process.argv.slice(2);
  const client = await Client.connect(JSON.parse(fs.readFileSync(path, "utf8")));
  try {
    console.log(await client.call(method, ...args.map((text) => JSON.parse(text))));
  } finally {
    client.close();
  }
}
