// Files that are no weights or no image are named for what they are, with what to do.
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { describeFile, describeZip } from "../../../lib/files/kind.ts";
import { preprocess } from "../../../lib/index.ts";
import { refusal, scratch, write } from "../../support/checkpoint-files.ts";
import { photo } from "../../support/images.ts";
import { pickle, text } from "../../support/pickle.ts";
import { zip } from "../../support/zip.ts";

const bytes = (content: string) => Buffer.from(content, "latin1");
/** The file's first bytes, then zeros up to 600. */
const padded = (content: string) =>
  Buffer.concat([bytes(content), Buffer.alloc(600)]).subarray(0, 600);
/** A field of Protocol Buffers. */
const field = (id: number, content: string | number): string => {
  const varint = (value: number): string =>
    value < 128
      ? String.fromCharCode(value)
      : String.fromCharCode((value & 127) | 128) + varint(value >> 7);
  return typeof content === "number"
    ? varint(id * 8) + varint(content)
    : varint(id * 8 + 2) + varint(content.length) + content;
};
const archive = (...names: string[]) =>
  zip(names.map((name) => ({ name, data: Buffer.from("x") })));

const wrongWeights: [string, Uint8Array, RegExp][] = [
  [
    "a Git LFS pointer",
    bytes("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 531503671\n"),
    /it is a Git LFS pointer, not the file itself; run git lfs pull$/,
  ],
  [
    "an HTML page",
    bytes("<!DOCTYPE html><html>Virus scan warning</html>"),
    /an HTML page; the download failed, so download the file again/,
  ],
  ["an HTML page after a mark and a space", bytes("\xef\xbb\xbf \n<HTML>"), /an HTML page/],
  [
    "a server's XML",
    bytes('<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'),
    /a server's error message in XML; the download failed/,
  ],
  ["SVG", bytes("<svg xmlns=''/>"), /an SVG image$/],
  ["XML", bytes("<?xml version='1.0'?><net/>"), /an XML file$/],
  [
    "the index of shards",
    bytes('{"metadata": {"total_size": 1}, "weight_map": {"a": "b"}}'),
    /index of weights in several files; merge/,
  ],
  ["a server's JSON", bytes('{"error":"Not found"}'), /a server's error message in JSON/],
  ["TensorFlow.js", bytes('{"modelTopology": {}}'), /TensorFlow\.js/],
  ["a notebook", bytes('{\n "cells": [],\n "nbformat": 4}'), /Jupyter/],
  ["a config", bytes('{"architecture": "vgg11"}'), /a JSON file; give the \.pth or \.safetensors/],
  ["HDF5", padded("\x89HDF\r\n\x1a\n"), /an HDF5 file, as Keras writes \(\.h5\); convert/],
  ["Keras", archive("metadata.json", "config.json", "model.weights.h5"), /Keras model \(\.keras\)/],
  ["NumPy's archive", archive("a.npy", "b.npy"), /NumPy arrays \(\.npz\); convert/],
  ["a NumPy array", padded("\x93NUMPY\x01\0"), /a NumPy array \(\.npy\)/],
  ["ONNX", padded(field(1, 7) + field(2, "pytorch") + field(3, "1.13")), /an ONNX model/],
  ["ONNX without a producer", padded(field(1, 8) + field(7, "x".repeat(300))), /an ONNX model/],
  [
    "a SavedModel",
    padded(field(1, 1) + field(2, field(1, field(2, field(1, "Add"))))),
    /a TensorFlow SavedModel/,
  ],
  [
    "Core ML",
    padded(field(1, 1) + field(2, field(1, field(1, "image") + field(2, "x")))),
    /a Core ML model/,
  ],
  ["a TensorFlow graph", padded(field(1, field(1, "input") + field(2, "Placeholder"))), /graph/],
  ["Caffe", padded(field(1, "VGG_ILSVRC_16_layers") + field(2, "x".repeat(400))), /caffemodel/],
  ["Caffe's text", bytes('name: "VGG_ILSVRC_16_layers"\ninput: "data"\n'), /prototxt/],
  ["TensorFlow Lite", padded("\x1c\0\0\0TFL3"), /TensorFlow Lite/],
  ["GGUF", padded("GGUF\x03"), /a GGUF file of llama\.cpp/],
  ["Flax", padded("\x81\xa6params\x82\xa8features"), /a Flax file of weights/],
  ["Darknet", padded("\0\0\0\0\x02\0\0\0\x05\0\0\0"), /Darknet/],
  ["Torch7", padded("\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1"), /Torch7/],
  ["MatConvNet", bytes("MATLAB 5.0 MAT-file, Platform: GLNXA64"), /MATLAB file/],
  [
    "a plain pickle",
    pickle(`}${text("a")}Ns`),
    /a Python pickle that torch\.save did not write; save the state dict instead: torch\.save/,
  ],
  ["a pickle of protocol 0", bytes("(dp0\nS'a'\np1\nI1\ns."), /a Python pickle/],
  ["a pickle of protocol 1", bytes("}q\0U\x01aK\x01s."), /a Python pickle/],
  ["joblib's pickle", Buffer.from([0x78, 0x9c, 1, 2]), /zlib data, as joblib writes/],
  ["TorchScript", archive("net/data.pkl", "net/constants.pkl"), /a TorchScript archive; save/],
  ["an exported program", archive("net/archive_format", "net/models/model.json"), /\.pt2/],
  ["weights in an archive", archive("readme.txt", "vgg11.pth"), /holds "vgg11\.pth"; unpack it/],
  ["an archive of images", archive("cat/1.jpg"), /a zip archive of images/],
  ["an Office document", archive("[Content_Types].xml", "word/document.xml"), /Office/],
  ["another archive", archive("a.txt"), /a zip archive; unpack it/],
  ["an empty archive", zip([]), /an empty zip archive; the download failed/],
  ["an archive in an archive", archive("a/b/data.pkl"), /found 0; was the file unpacked/],
  ["gzip", gzipSync("x"), /a gzip file; unpack it first, for example with gunzip$/],
  ["bzip2", padded("BZh9"), /bzip2/],
  ["xz", padded("\xfd7zXZ\0"), /xz/],
  ["Zstandard", padded("(\xb5/\xfd"), /Zstandard/],
  ["7z", padded("7z\xbc\xaf'\x1c"), /7z/],
  ["RAR", padded("Rar!\x1a\x07"), /RAR/],
  ["PDF", bytes("%PDF-1.7\n%\xe2\xe3\xcf\xd3"), /a PDF file$/],
  ["macOS's notes", padded("\0\x05\x16\x07"), /macOS's notes about a file/],
  ["text", bytes("# writes a file\nmore"), /it is text, which begins with "# writes a file"$/],
  ["text in UTF-8", Buffer.from("Größe\n"), /begins with "Größe"$/],
  ["a long line", bytes("x".repeat(600)), /begins with "x{40}…"$/],
  ["zeros", new Uint8Array(600), /begins with zeros, as the file of a download/],
  [
    "other bytes",
    Buffer.from([1, 2, 3, 254]),
    /begins with the bytes 01 02 03 fe \(hexadecimal\)$/,
  ],
  ["nothing", new Uint8Array(0), /it is empty; the download failed/],
  ["a JPEG", photo, /it is a JPEG image; are weights and image exchanged\?$/],
  ["a HEIC image", padded("\0\0\0\x18ftypheic"), /it is a HEIC image$/],
];

describe("a file that is no weights", () => {
  it.each(wrongWeights)("is named: %s", async (_, content, message) => {
    const error = await refusal(content);
    expect(error.code).toBe("CHECKPOINT_FORMAT");
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/: Expected a (PyTorch|state dict|one record)|: Expected one/);
  });
});

describe("a file that is no image", () => {
  it.each<[string, Uint8Array, RegExp]>([
    ["a Git LFS pointer", bytes("version https://git-lfs.github.com/spec/v1\n"), /git lfs pull$/],
    ["an HTML page", bytes("<html>"), /an HTML page; the download failed/],
    ["SVG", bytes("<svg/>"), /an SVG image; convert it to JPEG or PNG$/],
    ["HEIC", padded("\0\0\0\x18ftypheic"), /a HEIC image; convert it to JPEG or PNG$/],
    ["a video", padded("\0\0\0\x18ftypisom"), /a video \(MP4 or MOV\)$/],
    ["PyTorch's zip file", archive("vgg/data.pkl", "vgg/version"), /a PyTorch checkpoint$/],
    ["PyTorch's legacy file", pickle("\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"), /a PyTorch checkpoint$/],
    ["safetensors", bytes('\x40\0\0\0\0\0\0\0{"a":{}}'), /a safetensors file$/],
    ["an archive of images", archive("cat/1.jpg"), /a zip archive of images; unpack it$/],
    ["gzip", gzipSync("x"), /a gzip file; unpack it first/],
    ["a tar archive", padded(`${"a".padEnd(257, "\0")}ustar`), /a tar archive; unpack it first$/],
    ["JSON", bytes('{"a": 1}'), /a JSON file$/],
    ["text", bytes("a label\n"), /text, which begins with "a label"$/],
  ])("is named: %s", async (_, content, message) => {
    await expect(preprocess(content)).rejects.toMatchObject({
      code: "IMAGE_FORMAT",
      message: expect.stringMatching(message),
    });
    const path = write(content, "wrong.jpg");
    expect(path.startsWith(scratch)).toBe(true);
    await expect(preprocess(path)).rejects.toMatchObject({ code: "IMAGE_FORMAT" });
  });
});

describe("describeFile", () => {
  it("reads any bytes, however few", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed & 255;
    };
    const starts = wrongWeights.map(([, content]) => Buffer.from(content));
    for (let i = 0; i < 4000; i++) {
      const content = Buffer.from(starts[i % starts.length]!.subarray(0, random() * 2 + 1));
      for (let flips = random() & 7; flips > 0 && content.length > 0; flips--)
        content[(random() * 256 + random()) % content.length] = random();
      for (const use of ["weights", "image"] as const)
        expect(describeFile(content, use)).toMatch(/^it (is|begins with) /);
    }
  });

  it("never takes text for a format of the same letters", () => {
    for (const word of ["BMW", "MZ", "GGUF", "RIFF", "8BPS", "PK", "ID3 v2", "cat"])
      expect(describeFile(bytes(`${word}\nx`), "image")).toBe(
        `it is text, which begins with ${JSON.stringify(word)}`,
      );
    expect(describeFile(bytes("cat\ndog\n"), "weights")).toBe(
      'it is text, which begins with "cat"',
    );
  });

  it("describes an archive by any of its records", () => {
    expect(describeZip(["readme.md", "deep/saved_model.pb"], "weights")).toContain("SavedModel");
    expect(describeZip(["META-INF/MANIFEST.MF"], "image")).toBe("it is a Java or Android archive");
  });
});
