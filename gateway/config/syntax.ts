import type { YAMLError } from "yaml";

/** What a YAML syntax error means to somebody who writes a configuration, and the cure. Never quotes the text. */
const MEANING: Readonly<Record<YAMLError["code"], string>> = {
  ALIAS_PROPS: "an alias (*name) can have neither an anchor nor a tag; write the alias alone",
  BAD_ALIAS: "an anchor or alias needs a name right behind & or *; put text that begins with them in quotes",
  BAD_COLLECTION_TYPE: "the tag does not fit what follows; remove the tag (the word that begins with !)",
  BAD_DIRECTIVE: "a line that begins with % is a YAML directive; remove it",
  BAD_DQ_ESCAPE: "unknown escape in double quotes; write a backslash as \\\\, or use single quotes",
  BAD_INDENT:
    "wrong indentation, or a bracket is not closed; indent with the same number of spaces as the lines around",
  BAD_PROP_ORDER: "anchors and tags stand before the value; move this one there",
  BAD_SCALAR_START: 'text cannot begin with this character; put it in quotes, as in "@text"',
  BLOCK_AS_IMPLICIT_KEY: "a second key on one line, or a line indented too far; put each key on its own line",
  BLOCK_IN_FLOW: "an indented block cannot stand inside { } or [ ]; write the whole list or mapping one way",
  DUPLICATE_KEY: "the key appears twice; keep one",
  IMPOSSIBLE: "this is not YAML; compare with an example",
  KEY_OVER_1024_CHARS: "the key is longer than 1024 characters; is a quote not closed?",
  MISSING_CHAR: 'a ":", a space behind it, or a closing quote is missing; keys are written "key: value"',
  MULTILINE_IMPLICIT_KEY: "a key must stand on one line; is a quote or a bracket not closed?",
  MULTIPLE_ANCHORS: "one value can have only one anchor; remove one",
  MULTIPLE_DOCS: 'a second document begins here; remove the line "---"',
  MULTIPLE_TAGS: "one value can have only one tag; remove one",
  NON_STRING_KEY: "a key must be text; put it in quotes",
  RESOURCE_EXHAUSTION: "nested too deeply; at most 64 levels",
  TAB_AS_INDENT: "a tab is used to indent; use spaces",
  TAG_RESOLVE_FAILED: "unknown tag; remove the word that begins with !",
  UNEXPECTED_TOKEN: "this does not belong here; check indentation, quotes and brackets",
};

export function meaningOf(error: YAMLError): string {
  return MEANING[error.code];
}
