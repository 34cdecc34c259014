// Installs from a package index: members by range, or whole wheels if a server sends whole files only.
import { dirname } from "node:path";
import { type DownloadOptions, discardPart, download, RangeRefused } from "../download/download.js";
import { shown } from "../download/http.js";
import { downloadWhole } from "../download/whole.js";
import { VggError } from "../errors.js";
import { withFile } from "../files/errors.js";
import { makeFolder } from "../files/make-folder.js";
import { unpackWheel, type Work } from "./from-folder.js";
import type { PackageIndex } from "./package-index.js";
import { bytesOf, checkRoom, memberPart, targetOf, wheelPart } from "./places.js";
import { findWheel } from "./simple-index.js";
import { runTasks } from "./tasks.js";
import type { Wheel } from "./types.js";
import { type Located, locate, unpack } from "./unpack.js";
import { OpenFile, otherWheel, RemoteWheel, readWheelDirectory } from "./wheel-source.js";

type Options = Omit<DownloadOptions, "onProgress">;

/** How the members of a wheel are fetched. */
interface Plan {
  readonly wheel: Wheel;
  readonly url: URL;
  readonly source: RemoteWheel;
  /** Undefined if the server sends whole files only. */
  readonly located: readonly Located[] | undefined;
  /** The download of the whole wheel, once it has begun. */
  whole: Promise<void> | undefined;
}

/** Transfers at the same time. One unpacks while others receive. */
const limit = 3;

/** Says what to do about a failed download. */
function withAdvice(error: unknown, wheels: readonly Wheel[]): unknown {
  if (!(error instanceof VggError) || error.code !== "DOWNLOAD_FAILED") return error;
  const { message, cause } = error;
  const hints = [
    ...(/answered 40[13]\b/.test(message)
      ? ["a server that asks for a name and password takes them from its address or from ~/.netrc"]
      : []),
    ...(/certificate/i.test(message) ? ["PIP_CERT names a file of certificates to trust"] : []),
    `choose another index with --index, or put ${wheels.map(({ file }) => file).join(", ")} into a folder and give it with --from`,
  ];
  return new VggError("DOWNLOAD_FAILED", [message, ...hints].join("; "), { cause });
}

class IndexInstall {
  readonly #index: PackageIndex;
  readonly #work: Work;
  readonly #options: Options;

  constructor(index: PackageIndex, work: Work, options: Options) {
    this.#index = index;
    this.#work = work;
    this.#options = options;
  }

  /** The options of a transfer whose progress has a name. */
  #named(name: string, signal: AbortSignal): DownloadOptions {
    const { progress } = this.#work;
    const onProgress = ({ receivedBytes }: { receivedBytes: number }) =>
      progress.at(name, receivedBytes);
    return { ...this.#options, signal, onProgress };
  }

  /** Finds a wheel and reads its directory, if the server sends parts of files. */
  async plan(wheel: Wheel, signal: AbortSignal): Promise<Plan> {
    const { progress } = this.#work;
    const options = this.#named(wheel.file, signal);
    const url = await findWheel(this.#index, wheel, options);
    const source = new RemoteWheel(url, wheel, options);
    try {
      const located = locate(source, await readWheelDirectory(source), wheel.members);
      for (const { member, spanBytes } of located) progress.expect(member.to, spanBytes);
      return { wheel, url, source, located, whole: undefined };
    } catch (error) {
      if (!(error instanceof RangeRefused)) throw error;
      progress.expect(wheel.file, wheel.size);
      return { wheel, url, source, located: undefined, whole: undefined };
    }
  }

  /** Checks that the disk has room for the files and for what lies beside them until they are unpacked. */
  async checkRoom(plans: readonly Plan[]): Promise<void> {
    const { folder } = this.#work;
    const members = plans.flatMap(({ wheel }) => wheel.members);
    const temporary = plans.flatMap(({ wheel, located }) =>
      located === undefined ? [wheel.size] : located.map(({ spanBytes }) => spanBytes),
    );
    const atOnce = temporary.sort((a, b) => b - a).slice(0, limit);
    const parts = [
      ...plans.map(({ wheel }) => wheelPart(folder, wheel)),
      ...members.map((member) => memberPart(folder, member)),
    ];
    const sum = (sizes: readonly number[]) => sizes.reduce((a, b) => a + b, 0);
    const stillToCome = Math.max(0, sum(atOnce) - (await bytesOf(parts)));
    await checkRoom(folder, sum(members.map(({ size }) => size)) + stillToCome);
  }

  /** Downloads a wheel whole, checks its hash and places its members. */
  async #fetchWhole({ wheel, url, located }: Plan, signal: AbortSignal): Promise<void> {
    const { folder, progress } = this.#work;
    for (const { member } of located ?? []) progress.expect(member.to, 0);
    progress.expect(wheel.file, wheel.size);
    const part = wheelPart(folder, wheel);
    const extent = { expectedBytes: wheel.size, maxBytes: wheel.size };
    await downloadWhole(url, part, extent, this.#named(wheel.file, signal), {
      isRight: ({ sha256 }) => sha256 === wheel.sha256,
      refusal: (file) =>
        otherWheel(
          shown(url),
          `Expected the SHA-256 ${wheel.sha256} but received ${file?.sha256} (${file?.bytes} bytes); nothing was kept`,
        ),
    });
    progress.at(wheel.file, wheel.size); // nothing is received if an earlier call had all of it
    await unpackWheel(part, wheel, folder, signal);
    await discardPart(part).catch(() => {}); // the files are placed
  }

  /** Fetches the whole wheel, once for all members that need it. */
  fetchWhole(plan: Plan, signal: AbortSignal): Promise<void> {
    plan.whole ??= this.#fetchWhole(plan, signal);
    return plan.whole;
  }

  /** Downloads a member's span of the wheel and places the member. */
  async fetchMember(plan: Plan, located: Located, signal: AbortSignal): Promise<void> {
    const { folder, progress } = this.#work;
    const { entry, member, spanBytes } = located;
    const target = targetOf(folder, member);
    await withFile(target, () => makeFolder(dirname(target)));
    const part = memberPart(folder, member);
    const span = { start: entry.localOffset, totalBytes: plan.wheel.size };
    const extent = { expectedBytes: spanBytes, maxBytes: spanBytes, span };
    for (let isSecond = false; ; isSecond = true) {
      const options = this.#named(member.to, signal);
      try {
        const { isOfOneResponse } = await download(plan.url, part, extent, options);
        progress.at(member.to, spanBytes);
        const error = await this.#unpackPart(plan, located, part, target, signal);
        if (error === undefined) break;
        await discardPart(part);
        if (isOfOneResponse || isSecond) throw error;
      } catch (error) {
        if (!(error instanceof RangeRefused)) throw error;
        // A mirror of several servers may refuse now what it did a moment ago.
        await discardPart(part);
        return this.fetchWhole(plan, signal);
      }
    }
    await discardPart(part).catch(() => {}); // the file is placed
  }

  /** Places a member from its span. Returns the error if the span is not what it should be. */
  async #unpackPart(
    { source }: Plan,
    located: Located,
    part: string,
    target: string,
    signal: AbortSignal,
  ): Promise<VggError | undefined> {
    const file = await OpenFile.open(part);
    try {
      const base = located.entry.localOffset;
      await unpack(source, located, { file, base }, target, signal);
      return undefined;
    } catch (error) {
      if (error instanceof VggError && error.code === "HASH_MISMATCH") return error;
      throw error;
    } finally {
      await file.close();
    }
  }
}

/**
 * Downloads and places the members of wheels.
 * @throws {VggError} DOWNLOAD_FAILED, HASH_MISMATCH, DISK_FULL, FOLDER_UNUSABLE @throws the signal's reason
 */
export async function installFromIndex(
  index: PackageIndex,
  work: Work,
  options: Options,
): Promise<void> {
  const { wheels, folder } = work;
  const { signal } = options;
  const install = new IndexInstall(index, work, options);
  const members = wheels.flatMap((wheel) => wheel.members);
  try {
    await checkRoom(
      folder,
      members.reduce((sum, { size }) => sum + size, 0),
    );
    const plans = await runTasks(wheels, limit, signal, (wheel, stop) => install.plan(wheel, stop));
    await install.checkRoom(plans);
    const tasks = plans.flatMap(
      (plan) => plan.located?.map((located) => ({ plan, located })) ?? { plan },
    );
    // The largest first, so that the last one to unpack is small.
    const bytes = (task: { plan: Plan; located?: Located }) =>
      task.located?.spanBytes ?? task.plan.wheel.size;
    tasks.sort((a, b) => bytes(b) - bytes(a));
    await runTasks<{ plan: Plan; located?: Located }, void>(tasks, limit, signal, (task, stop) =>
      task.located === undefined
        ? install.fetchWhole(task.plan, stop)
        : install.fetchMember(task.plan, task.located, stop),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw withAdvice(error, wheels);
  }
}
