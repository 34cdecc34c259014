// Reads files in the form of Python's configparser, as pip's settings are.

/** The keys of each section, in lower case with `-` for `_`. Lines of a value are joined by a line feed. */
export type Sections = Map<string, Map<string, string>>;

/**
 * Parses as configparser's RawConfigParser does, except that it skips what configparser refuses: a line outside a
 * section, or without `=` or `:`. Of two equal keys the last counts. Comments are whole lines that begin with # or ;.
 */
export function parseIni(text: string): Sections {
  const sections: Sections = new Map();
  let section: Map<string, string> | undefined;
  let key: string | undefined;
  let keyIndent = 0;
  for (const line of text.split(/\r\n|\r|\n/)) {
    const value = line.trim();
    if (value === "" || value.startsWith("#") || value.startsWith(";")) continue;
    const indent = line.search(/\S/);
    if (section !== undefined && key !== undefined && indent > keyIndent) {
      section.set(key, `${section.get(key)}\n${value}`.trim());
      continue;
    }
    const header = /^\[(.+)\]/.exec(value);
    if (header !== null) {
      const name = header[1]!;
      section = sections.get(name) ?? new Map();
      sections.set(name, section);
      key = undefined;
      continue;
    }
    const option = /^([^=:]*?)\s*[=:]\s*(.*)$/.exec(value);
    key = option?.[1]?.toLowerCase().replaceAll("_", "-");
    if (section === undefined || !key) {
      key = undefined;
      continue;
    }
    keyIndent = indent;
    section.set(key, option![2]!);
  }
  return withDefaults(sections);
}

/** Gives each section the keys of [DEFAULT] that it lacks. */
function withDefaults(sections: Sections): Sections {
  const defaults = sections.get("DEFAULT") ?? new Map<string, string>();
  sections.delete("DEFAULT");
  for (const section of sections.values()) {
    for (const [key, value] of defaults) if (!section.has(key)) section.set(key, value);
  }
  return sections;
}
