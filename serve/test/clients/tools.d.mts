// The types of tools.mjs.
export declare const folder: string;
export declare const requirements: string;
export declare const goTools: { readonly grpcurl: string; readonly vegeta: string };
export declare const perfAnalyzer: string;
type Part = "python" | "grpcurl" | "vegeta" | "perf_analyzer";
export declare const parts: Readonly<Record<Part, { file: string; content: string }>>;
export declare function isThere(name: Part): boolean;
export declare function setThere(name: Part): void;
