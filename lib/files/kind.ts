// What a file is by its first bytes, and what to do about it: one table for files that are no weights or no image.
import { describe, optionOf } from "../check.js";
import { firstRecord, Head, isNamedMap, isTar, isZlib, protobufModel } from "./head.js";

/** What the file was given as. */
export type Use = "weights" | "image" | "text";

interface Kind {
  /** Begins with an article: "a Git LFS pointer". */
  readonly is: string;
  /** What to do if it was given as weights. */
  readonly weights?: string | undefined;
  /** What to do if it was given as an image. */
  readonly image?: string | undefined;
  /** A text has no advice. */
  readonly text?: undefined;
}

type Row = readonly [test: string | ((head: Head) => boolean), kind: Kind];

const both = (is: string, advice: string): Kind => ({ is, weights: advice, image: advice });
const otherImage = (is: string): Kind => ({ is, image: "convert it to JPEG or PNG" });
const model = (is: string): Kind => ({
  is,
  weights:
    "convert its weights to PyTorch's layout and names, and save them with torch.save or as safetensors",
});
const packed = (is: string, program: string): Kind =>
  both(is, `unpack it first, for example with ${program}`);
const saveStateDict = "save the state dict instead: torch.save(model.state_dict(), path)";
const again = "the download failed, so download the file again";

/** Whether the bytes are text that a pattern matches. */
const text = (pattern: RegExp) => (head: Head) =>
  head.text !== undefined && pattern.test(head.text);
const protobuf = (wanted: ReturnType<typeof protobufModel>) => (head: Head) =>
  protobufModel(head) === wanted;
/** Whether it is a file of boxes, as HEIC and MP4 are, with one of the brands. */
const brand = (pattern: RegExp) => (head: Head) =>
  head.has("ftyp", 4) && pattern.test(head.latin1.slice(8, 12));
const isZip = (head: Head) => head.begins("PK\x03\x04", "PK\x05\x06");

const plainPickle: Kind = {
  is: "a Python pickle that torch.save did not write",
  weights: saveStateDict,
};

const textRows: readonly Row[] = [
  [
    text(/^version https:\/\/git-lfs/),
    both("a Git LFS pointer, not the file itself", "run git lfs pull"),
  ],
  [
    text(/^<(!doctype html|html|head|body|script|title)\b/i),
    both("an HTML page", `${again}, perhaps after a login`),
  ],
  [text(/^<\?xml[\s\S]*<(Error|Code|Message)>/), both("a server's error message in XML", again)],
  [text(/^<(\?xml[\s\S]*<svg|svg)\b/i), otherImage("an SVG image")],
  [text(/^</), { is: "an XML file" }],
  [
    text(/^\{[\s\S]*"weight_map"/),
    both("the index of weights in several files", "merge the files that it names into one"),
  ],
  [text(/^\{[\s\S]*"(modelTopology|weightsManifest)"/), model("a TensorFlow.js model")],
  [text(/^\{[\s\S]*"(nbformat|cell_type)"/), { is: "a Jupyter notebook" }],
  [text(/^\{\s*"(error|errors|message|detail)"/), both("a server's error message in JSON", again)],
  [
    text(/^[[{]\s*(["{[\]}]|-?\d)/),
    { is: "a JSON file", weights: "give the .pth or .safetensors file that belongs to it" },
  ],
  [text(/^name: "[\s\S]*(layer|input)/), { is: "a Caffe network without weights (.prototxt)" }],
];

/** Formats that begin with text. Bytes may follow within the head or not. */
const mixedRows: readonly Row[] = [
  // Python's protocols 0 and 1 have no first byte of their own: these are dictionaries, lists and objects.
  ...["(dp0\n", "(lp0\n", "}q\0", "]q\0", "ccollections\n", "ccopy_reg\n", "cnumpy"].map(
    (begin): Row => [begin, plainPickle],
  ),
  ["MATLAB 5.0", model("a MATLAB file (.mat)")],
  ["MATLAB 7.3", model("a MATLAB file (.mat)")],
  ["%PDF", otherImage("a PDF file")],
  ["%!PS", otherImage("a PostScript file")],
  ["P7\n", otherImage("a PAM image")],
  ["PF\n", otherImage("a PFM image")],
  ["Pf\n", otherImage("a PFM image")],
  ["SIMPLE  =", otherImage("a FITS image")],
];

const weightsRows: readonly Row[] = [
  ["\x80\x02\x8a\x0al\xfc\x9cF\xf9", { is: "a PyTorch checkpoint" }],
  [(head) => head.begins("\x80") && [2, 3, 4, 5].includes(head.bytes[1]!), plainPickle],
  [(head) => head.has("\0\0\0{", 5), { is: "a safetensors file" }],
  ["\x89HDF\r\n\x1a\n", model("an HDF5 file, as Keras writes (.h5)")],
  ["\x93NUMPY", model("a NumPy array (.npy)")],
  ["GGUF", model("a GGUF file of llama.cpp")],
  [(head) => head.has("TFL3", 4), model("a TensorFlow Lite model")],
  [protobuf("ONNX"), model("an ONNX model")],
  [protobuf("Core ML"), model("a Core ML model")],
  [protobuf("SavedModel"), model("a TensorFlow SavedModel")],
  [protobuf("GraphDef"), model("a TensorFlow graph")],
  [protobuf("Caffe"), model("a Caffe model (.caffemodel)")],
  ["\x12\x01\0\0\0\0\0\0", model("an MXNet file of parameters")],
  ["\0\0\0\0\x02\0\0\0\x05\0\0\0", model("a Darknet file of weights")],
  [
    (head) => head.begins("\x04\0\0\0") && head.has("\x03\0\0\0V 1", 8),
    model("a Torch7 file (.t7)"),
  ],
  [isNamedMap, model("a Flax file of weights (MessagePack)")],
];

const imageRows: readonly Row[] = [
  [brand(/^(he|mif1|msf1)/), otherImage("a HEIC image")],
  [brand(/^crx /), otherImage("a raw photo (CR3)")],
  [brand(/^/), { is: "a video (MP4 or MOV)" }],
  [(head) => head.has("JXL ", 4) || head.begins("\xff\x0a"), otherImage("a JPEG XL image")],
  [(head) => head.has("jP  ", 4), otherImage("a JPEG 2000 image")],
  ["8BPS", otherImage("a Photoshop file")],
  ["BM", otherImage("a BMP image of an unknown kind")],
  ["\0\0\x01\0", otherImage("an icon (ICO)")],
  ["icns", otherImage("an icon (ICNS)")],
  ["\x01\xda", otherImage("an SGI image")],
  ["\x0a\x05\x01", otherImage("a PCX image")],
  ["DDS ", otherImage("a DDS texture")],
  ["qoif", otherImage("a QOI image")],
  ["v/1\x01", otherImage("an OpenEXR image")],
  ["FUJIFILMCCD-RAW", otherImage("a raw photo (RAF)")],
  [(head) => head.has("DICM", 128), otherImage("a DICOM image")],
];

const otherRows: readonly Row[] = [
  ["\x1f\x8b", packed("a gzip file", "gunzip")],
  ["BZh", packed("a bzip2 file", "bunzip2")],
  ["\xfd7zXZ\0", packed("an xz file", "unxz")],
  ["(\xb5/\xfd", packed("a Zstandard file", "unzstd")],
  ["\x04\x22M\x18", packed("an LZ4 file", "unlz4")],
  ["7z\xbc\xaf'\x1c", packed("a 7z archive", "7z x")],
  ["Rar!\x1a\x07", packed("a RAR archive", "unrar x")],
  [isZlib, { is: "zlib data, as joblib writes", weights: saveStateDict }],
  ["\0\x05\x16\x07", both("macOS's notes about a file (._NAME)", "give the file itself")],
  ["\0\0\0\x01Bud1", both("macOS's notes about a folder (.DS_Store)", "give another file")],
  ["\x7fELF", { is: "a program or a library (ELF)" }],
  ["MZ", { is: "a program or a library of Windows" }],
  ["SQLite format 3\0", { is: "an SQLite database" }],
  ["PAR1", { is: "a Parquet table" }],
  ["\x1aE\xdf\xa3", { is: "a video (Matroska or WebM)" }],
  ["RIFF", { is: "a video or a sound (RIFF)" }],
  ["ID3", { is: "a sound (MP3)" }],
  ["OggS", { is: "a sound or a video (Ogg)" }],
  [
    isTar,
    {
      is: "a tar archive",
      weights:
        "unpack it; if it is a checkpoint of PyTorch before 0.1.10, load it once with PyTorch and save it again",
      image: "unpack it first",
    },
  ],
];

/** A text may begin with the letters of a format, such as BM. */
const rowsOfText = [...textRows, ...mixedRows];
const rowsOfBytes = [...mixedRows, ...weightsRows, ...imageRows, ...otherRows];

/** Kinds of zip archives by the name of a record. */
const zipRows: readonly (readonly [name: RegExp, kind: Kind])[] = [
  [
    /(^|\/)constants\.pkl$/,
    { is: "a TorchScript archive", weights: "save model.state_dict() instead" },
  ],
  [/\.data\/extern_modules$/, { is: "a torch.package archive", weights: saveStateDict }],
  [
    /(^|\/)(archive_format|serialized_exported_program\.json)$/,
    { is: "an exported program (.pt2)", weights: saveStateDict },
  ],
  [/(^|\/)(data\.pkl|data\/\d+|code\/__torch__.*|byteorder)$/, { is: "a PyTorch checkpoint" }],
  [/^model\.weights\.h5$/, model("a Keras model (.keras)")],
  [/\.npy$/, model("an archive of NumPy arrays (.npz)")],
  [/(^|\/)saved_model\.pb$/, model("a zip archive of a TensorFlow SavedModel")],
  [/\.mlmodel$/, model("a zip archive of a Core ML model")],
  [/^\[Content_Types\]\.xml$/, { is: "an Office document" }],
  [/^META-INF\/|^AndroidManifest\.xml$/, { is: "a Java or Android archive" }],
  [/\.(jpe?g|png|webp|gif|tiff?|bmp)$/i, both("a zip archive of images", "unpack it")],
];

const weightsName = /\.(pth|pt|bin|ckpt|safetensors|h5|onnx|tar)$/;

function zipKind(names: readonly string[]): Kind {
  if (names.length === 0) return both("an empty zip archive", again);
  const found = zipRows.find(([pattern]) => names.some((name) => pattern.test(name)));
  if (found !== undefined) return found[1];
  // A Keras file begins with its metadata, and its weights come last.
  if (names[0] === "metadata.json") return model("a Keras model (.keras)");
  const inner = names.find((name) => weightsName.test(name));
  return inner === undefined
    ? both("a zip archive", "unpack it")
    : both(`a zip archive that holds ${describe(inner)}`, "unpack it");
}

function kindOf(head: Head): Kind | undefined {
  if (isZip(head)) return zipKind([firstRecord(head)].filter((name) => name !== ""));
  const rows = head.text === undefined ? rowsOfBytes : rowsOfText;
  const found = rows.find(([test]) => (typeof test === "string" ? head.begins(test) : test(head)));
  return found?.[1];
}

function say(kind: Kind, use: Use): string {
  const advice = optionOf(kind, use);
  return advice === undefined ? `it is ${kind.is}` : `it is ${kind.is}; ${advice}`;
}

/**
 * Describes a file that cannot be used, as the end of "Expected … but": "it is a Git LFS pointer, not the file itself; run
 * git lfs pull". An unknown file is described by its first bytes.
 * @param file its first 512 bytes, or more
 */
export function describeFile(file: Uint8Array, use: Use): string {
  if (file.byteLength === 0) return use === "weights" ? `it is empty; ${again}` : "it is empty";
  const head = new Head(file);
  const kind = kindOf(head);
  if (kind !== undefined) return say(kind, use);
  if (head.text !== undefined) return `it is text, which ${beginning(head.text)}`;
  if (head.bytes.byteLength > 8 && head.bytes.every((byte) => byte === 0))
    return "it begins with zeros, as the file of a download does that was not finished";
  const first = [...head.bytes.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `it begins with the bytes ${first.join(" ")} (hexadecimal)`;
}

/** Describes a zip archive that cannot be used, by the names of all its records. */
export function describeZip(names: readonly string[], use: Use): string {
  return say(zipKind(names), use);
}

const maxShown = 40;

function beginning(content: string): string {
  const [line = ""] = content.split(/[\r\n]/, 1);
  const shown = line.trimEnd();
  if (shown === "") return "has only white space at its beginning";
  return `begins with ${JSON.stringify(shown.length > maxShown ? `${shown.slice(0, maxShown)}…` : shown)}`;
}
