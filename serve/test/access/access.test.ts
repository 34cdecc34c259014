// Who may call which group of the API, and how often.
import { describe, expect, it, vi } from "vitest";
import { Access } from "../../lib/access/access.ts";
import { clientOfAddress, Rate } from "../../lib/access/rate.ts";
import { apiGroups, isStoredToken, storedTokenOf } from "../../lib/access/tokens.ts";

const user = storedTokenOf("user's secret".replaceAll(" ", "-"));
const admin = storedTokenOf("admin");
const bearer = (token: string) => `Bearer ${token}`;

describe("tokens", () => {
  const open = (access: Access, token?: string) =>
    apiGroups.filter((group) => {
      try {
        access.admit(group, token === undefined ? undefined : bearer(token), "::1");
        return true;
      } catch (error) {
        expect(error).toMatchObject({ status: 401, grpcCode: 16 });
        return false;
      }
    });
  const noRepository = apiGroups.filter((group) => group !== "model-repository");

  it("are not needed without settings, but nobody loads models", () => {
    expect(open(new Access())).toEqual(noRepository);
    expect(() => new Access().admit("model-repository", undefined, "::1")).toThrow("are off");
  });

  it("open every group but the repository; health is open to all", () => {
    const access = new Access({ tokens: [user, storedTokenOf("other")], admin: [admin] });
    expect(open(access)).toEqual(["health"]);
    expect(open(access, "wrong")).toEqual(["health"]);
    expect(open(access, "user's-secret")).toEqual(noRepository);
    expect(open(access, "other")).toEqual(noRepository);
    expect(open(access, "admin")).toEqual(apiGroups);
  });

  it("may differ by group", () => {
    const groups = { statistics: [storedTokenOf("s")], health: [storedTokenOf("h")] };
    const access = new Access({ tokens: [user], groups });
    expect(open(access, "s")).toEqual(["statistics"]);
    expect(open(access, "h")).toEqual(["health"]);
    expect(open(access, "user's-secret")).toEqual(["metadata", "inference", "model-config"]);
  });

  it("come as Bearer, in any case", () => {
    const access = new Access({ tokens: [admin] });
    for (const header of ["Bearer admin", "bearer admin", "BEARER  admin "])
      expect(access.admit("inference", header, "::1")).toMatch(/^token [0-9a-f]{16}$/);
    for (const header of ["admin", "Basic admin", "Bearer", "Bearer ", "Bearer a b", "", null])
      expect(() => access.admit("inference", header, "::1")).toThrow("Expected");
  });

  it("are stored as digests", () => {
    expect(isStoredToken(user)).toBe(true);
    for (const text of ["secret", "sha256:", `sha256:${"g".repeat(64)}`, `${user}0`, 3, undefined])
      expect(isStoredToken(text)).toBe(false);
  });

  it("name the client, or else its address does", () => {
    const access = new Access({ admin: [admin] });
    const client = access.admit("inference", bearer("admin"), "10.0.0.1");
    expect(client).toBe(access.admit("metadata", bearer("admin"), "10.0.0.2"));
    expect(client).not.toContain("admin");
    expect(access.admit("inference", undefined, "::ffff:10.0.0.1")).toBe("10.0.0.1");
  });
});

describe("the rate", () => {
  it("is that of one client in the long run, after as many at once", () => {
    let now = 0;
    const rate = new Rate(10, () => now);
    const taken = () =>
      Array.from({ length: 40 }, () => rate.take("a")).filter((s) => s === 0).length;
    expect(taken()).toBe(10);
    expect(rate.take("a")).toBeCloseTo(0.1);
    expect(rate.take("b")).toBe(0);
    now += 500;
    expect(taken()).toBe(5);
    now += 1e6;
    expect(taken()).toBe(10);
  });

  it("may be below one call in a second", () => {
    let now = 0;
    const rate = new Rate(0.1, () => now);
    expect([rate.take("a"), rate.take("a")]).toEqual([0, 10]);
    now += 10_000;
    expect(rate.take("a")).toBe(0);
  });

  it("forgets the client that has been idle longest, of ten thousand", () => {
    const rate = new Rate(1, () => 0);
    for (let client = 0; client <= 10_000; client++) rate.take(String(client));
    expect(rate.take("1")).toBeGreaterThan(0);
    expect(rate.take("0")).toBe(0);
  });

  it("refuses with 429 and the time to wait, also a client that guesses tokens", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      const access = new Access({ tokens: [user], requestsPerSecond: 2 });
      const call = (token: string) => () => access.admit("inference", bearer(token), "10.0.0.1");
      for (const token of ["x", "y"]) expect(call(token)).toThrow("another token");
      for (const token of ["z", "x"])
        expect(call(token)).toThrow(
          expect.objectContaining({ status: 429, grpcCode: 8, retryAfterSeconds: 1 }),
        );
      expect(call("user's-secret")).not.toThrow();
      expect(() => access.admit("health", undefined, "10.0.0.1")).not.toThrow();
    } finally {
      vi.useRealTimers();
    }
  });

  it("counts an IPv6 network of 64 bits as one client", () => {
    const clients: [string | undefined, string][] = [
      ["192.0.2.1", "192.0.2.1"],
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
      ["2001:db8::9", "2001:db8:0:0::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      ["::1", "0:0:0:0::/64"],
      [undefined, "unknown"],
    ];
    for (const [address, client] of clients) expect(clientOfAddress(address)).toBe(client);
  });
});
