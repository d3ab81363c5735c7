/**
 * Which sessions subscribe to a topic: topic filters as a tree of levels, so that a publish costs what its matches cost
 * and not what all subscriptions do. Filters are valid and have a bounded number of levels.
 */
interface Node {
  readonly children: Map<string, Node>;
  /** Granted QoS by owner. */
  readonly owners: Map<string, number>;
}

export interface Match {
  readonly owner: string;
  readonly filter: string;
  readonly qos: number;
}

export class FilterTree {
  readonly #root: Node = newNode();

  add(filter: string, owner: string, qos = 1): void {
    let node = this.#root;
    for (const level of filter.split("/")) {
      let child = node.children.get(level);
      if (!child) {
        child = newNode();
        node.children.set(level, child);
      }
      node = child;
    }
    node.owners.set(owner, qos);
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

  /** Each owner once. */
  match(topic: string): Set<string> {
    return new Set(this.find(topic).map(({ owner }) => owner));
  }

  /** The greatest QoS that each owner was granted. */
  granted(topic: string): Map<string, number> {
    const granted = new Map<string, number>();
    for (const { owner, qos } of this.find(topic)) granted.set(owner, Math.max(qos, granted.get(owner) ?? 0));
    return granted;
  }

  /** Every filter of every owner that matches. Wildcards at the root do not match `$` topics [MQTT-4.7.2-1]. */
  find(topic: string): Match[] {
    const found: Match[] = [];
    const levels = topic.split("/");
    const wild = !topic.startsWith("$");
    const take = (node: Node, path: readonly string[]) => {
      const filter = node.owners.size > 0 ? path.join("/") : "";
      for (const [owner, qos] of node.owners) found.push({ owner, filter, qos });
    };
    const visit = (node: Node, path: readonly string[]) => {
      const mayBeWild = path.length > 0 || wild;
      const rest = mayBeWild ? node.children.get("#") : undefined;
      if (rest) take(rest, [...path, "#"]);
      const level = levels[path.length];
      if (level === undefined) {
        take(node, path);
        return;
      }
      const same = node.children.get(level);
      if (same) visit(same, [...path, level]);
      const any = mayBeWild ? node.children.get("+") : undefined;
      if (any) visit(any, [...path, "+"]);
    };
    visit(this.#root, []);
    return found;
  }
}

function newNode(): Node {
  return { children: new Map(), owners: new Map() };
}
