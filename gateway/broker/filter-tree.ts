/**
 * Which sessions subscribe to a topic: topic filters as a tree of levels, so that a publish costs what its matches cost
 * and not what all subscriptions do. Filters are valid and have a bounded number of levels.
 */
interface Node {
  readonly children: Map<string, Node>;
  readonly owners: Set<string>;
}

export class FilterTree {
  readonly #root: Node = newNode();

  add(filter: string, owner: string): void {
    let node = this.#root;
    for (const level of filter.split("/")) {
      let child = node.children.get(level);
      if (!child) {
        child = newNode();
        node.children.set(level, child);
      }
      node = child;
    }
    node.owners.add(owner);
  }

  remove(filter: string, owner: string): void {
    const path: [Node, string][] = [];
    let node = this.#root;
    for (const level of filter.split("/")) {
      const child = node.children.get(level);
      if (!child) return;
      path.push([node, level]);
      node = child;
    }
    node.owners.delete(owner);
    for (const [parent, level] of path.reverse()) {
      if (node.owners.size > 0 || node.children.size > 0) return;
      parent.children.delete(level);
      node = parent;
    }
  }

  /** Each owner once. Wildcards at the root do not match `$` topics [MQTT-4.7.2-1]. */
  match(topic: string): Set<string> {
    const found = new Set<string>();
    const levels = topic.split("/");
    const wild = !topic.startsWith("$");
    const visit = (node: Node, index: number) => {
      const mayBeWild = index > 0 || wild;
      const rest = mayBeWild ? node.children.get("#") : undefined;
      if (rest) addAll(found, rest.owners);
      const level = levels[index];
      if (level === undefined) {
        addAll(found, node.owners);
        return;
      }
      const same = node.children.get(level);
      if (same) visit(same, index + 1);
      const any = mayBeWild ? node.children.get("+") : undefined;
      if (any) visit(any, index + 1);
    };
    visit(this.#root, 0);
    return found;
  }
}

function newNode(): Node {
  return { children: new Map(), owners: new Set() };
}

function addAll(target: Set<string>, owners: ReadonlySet<string>): void {
  for (const owner of owners) target.add(owner);
}
