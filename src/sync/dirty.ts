/**
 * What changed and was not looked at yet. A set of paths, bounded: a burst that names more than it
 * may hold, or a watcher that lost events, becomes "look at everything". Pure.
 */

export interface Dirty {
  /** Everything, whatever the sets say. */
  readonly all: boolean;
  readonly paths: ReadonlySet<string>;
  /** Folders whose whole content is in question. */
  readonly trees: ReadonlySet<string>;
}

export const MAX_DIRTY = 20_000;

export class DirtySet {
  #all = false;
  #paths = new Set<string>();
  #trees = new Set<string>();

  get all(): boolean {
    return this.#all;
  }

  get empty(): boolean {
    return !this.#all && this.#paths.size === 0 && this.#trees.size === 0;
  }

  add(path: string): void {
    if (this.#all) return;
    this.#paths.add(path);
    this.#bound();
  }

  addTree(path: string): void {
    if (this.#all) return;
    this.#trees.add(path);
    this.#bound();
  }

  addAll(): void {
    this.#all = true;
    this.#paths.clear();
    this.#trees.clear();
  }

  /** Hands over what there is and begins anew. */
  take(): Dirty {
    const taken = { all: this.#all, paths: this.#paths, trees: this.#trees };
    this.#all = false;
    this.#paths = new Set();
    this.#trees = new Set();
    return taken;
  }

  #bound(): void {
    if (this.#paths.size + this.#trees.size > MAX_DIRTY) this.addAll();
  }
}
