// The part of the environment that is JavaScript: what CouchDB's query server gives to functions of
// design documents. It runs first in each context, and keeps its own hold of what it uses, since the
// functions that come after it may change any global.
(function (library, write) {
  "use strict";
  const { stringify, parse } = JSON;
  const { freeze, isFrozen, getPrototypeOf, setPrototypeOf } = Object;
  const { isArray } = Array;
  const { apply } = Reflect;
  const fatal = InternalError.prototype;
  const { slice, split } = String.prototype;
  const evaluate = globalThis.eval;
  const text = String;
  const LOG_CHARACTERS_MAX = 1000;

  let rows = null;
  let rowsMax = 0;
  let tooMany = false;
  let emitted = false;

  function own(value, name) {
    try {
      return value === null || value === undefined ? undefined : value[name];
    } catch (_) {
      return undefined;
    }
  }

  function told(value) {
    try {
      return text(value);
    } catch (_) {
      return "an object without text";
    }
  }

  function isError(value) {
    return typeof value === "object" && value !== null
      && typeof own(value, "name") === "string" && own(value, "stack") !== undefined;
  }

  // JSON.stringify makes `{}` of an error; CouchDB keeps its name and message.
  function plain(value) {
    return isError(value) ? { error: value.name, message: value.message } : value;
  }

  function json(value) {
    const made = stringify(value);
    return made === undefined ? "null" : made;
  }

  // Out of memory and the like: not the function's to survive.
  function isFatal(error) {
    return typeof error === "object" && error !== null && getPrototypeOf(error) === fatal;
  }

  // What was thrown, as [name, reason].
  function thrown(error) {
    if (isError(error)) return [told(error.name), told(own(error, "message"))];
    if (typeof error === "string") return ["unknown_error", error];
    if (isArray(error) && own(error, 0) === "error") {
      return [told(own(error, 1)), told(own(error, 2))];
    }
    if (typeof error === "object" && error !== null) {
      try {
        for (const name in error) {
          const reason = error[name];
          return [name, typeof reason === "string" ? reason : json(reason)];
        }
      } catch (inner) {
        if (isFatal(inner)) throw inner;
        return ["unknown_error", told(inner)];
      }
      return ["unknown_error", "{}"];
    }
    return ["unknown_error", told(error)];
  }

  // A list of what is left to freeze, and no array: its prototype is not ours alone.
  function deepFreeze(value) {
    let rest = { value: value, next: null };
    while (rest !== null) {
      const object = rest.value;
      rest = rest.next;
      if (typeof object !== "object" || object === null || isFrozen(object)) continue;
      freeze(object);
      for (const name in object) {
        const inner = object[name];
        if (typeof inner === "object" && inner !== null) rest = { value: inner, next: rest };
      }
    }
    return value;
  }

  function define(name, value) {
    Object.defineProperty(globalThis, name, {
      value: value, writable: true, configurable: true, enumerable: true,
    });
  }

  function log(message) {
    let line = message;
    if (typeof line !== "string") {
      try {
        line = json(plain(message));
      } catch (error) {
        line = told(error);
      }
    }
    write(apply(slice, line, [0, LOG_CHARACTERS_MAX]));
  }

  define("emit", function emit(key, value) {
    emitted = true;
    if (rows === null) return;
    if (rows.count >= rowsMax) {
      tooMany = true;
      throw ["error", "too_many_rows", "a document emitted too many rows"];
    }
    rows.count += 1;
    rows.last = rows.last.next = { key: key, value: value, next: null };
  });
  define("sum", function sum(values) {
    let total = 0;
    for (const index in values) total += values[index];
    return total;
  });
  define("log", log);
  define("toJSON", stringify);
  define("isArray", isArray);

  // CommonJS modules inside the design document.
  const modules = { __proto__: null };

  function resolve(names, at, module, root) {
    if (at === names.length) {
      if (typeof module.current !== "string") {
        throw ["error", "invalid_require_path",
          "Must require a JavaScript string, not: " + typeof module.current];
      }
      return { current: module.current, parent: module.parent, id: module.id, exports: {} };
    }
    const name = names[at];
    if (name === "..") {
      if (!(module.parent && module.parent.parent)) {
        throw ["error", "invalid_require_path", "Object has no parent " + json(module.current)];
      }
      const id = module.id;
      let end = id.length - 1;
      while (end > 0 && id[end] !== "/") end -= 1;
      return resolve(names, at + 1, {
        id: apply(slice, id, [0, end]),
        parent: module.parent.parent,
        current: module.parent.current,
      });
    }
    if (name === ".") {
      if (!module.parent) {
        throw ["error", "invalid_require_path", "Object has no parent " + json(module.current)];
      }
      return resolve(names, at + 1, {
        parent: module.parent, current: module.current, id: module.id,
      });
    }
    const inside = root ? { current: root } : module;
    const next = own(inside.current, name);
    if (next === undefined) {
      throw ["error", "invalid_require_path",
        'Object has no property "' + name + '". ' + json(inside.current)];
    }
    return resolve(names, at + 1, {
      current: next, parent: inside, id: inside.id ? inside.id + "/" + name : name,
    });
  }

  function requireFrom(name, parent) {
    const names = apply(split, name, ["/"]);
    const module = resolve(names, 0, (parent && parent.parent) || {}, library);
    const known = modules[module.id];
    if (known !== undefined) return known.exports;
    // Known before it runs, so that modules which require each other find an end.
    modules[module.id] = module;
    try {
      const made = evaluate(
        "(function (module, exports, require) { " + module.current + "\n })");
      apply(made, globalThis, [module, module.exports, (inner) => requireFrom(inner, module)]);
    } catch (error) {
      modules[module.id] = undefined;
      if (isFatal(error)) throw error;
      const what = isError(error) ? error.name + ": " + error.message : told(error);
      throw ["error", "compilation_error", "Module require('" + name + "') raised error " + what];
    }
    return module.exports;
  }
  if (library !== undefined) define("require", (name) => requireFrom(text(name), undefined));

  function rowsOf(list, bytesMax) {
    // Without a prototype, whose setters would see the rows.
    const made = setPrototypeOf([], null);
    let bytes = 0;
    let place = 0;
    for (let row = list.next; row !== null; row = row.next) {
      const key = json(row.key);
      const value = json(plain(row.value));
      bytes += key.length + value.length;
      if (bytes > bytesMax) return null;
      made[place] = key;
      made[place + 1] = value;
      place += 2;
    }
    return made;
  }

  return {
    // The rows that one function emits for a document: [key, value, key, value, ..] as JSON; null for
    // too many.
    map(fun, doc, most, bytesMax) {
      const list = { count: 0, next: null, last: null };
      list.last = list;
      rows = list;
      rowsMax = most;
      tooMany = false;
      try {
        apply(fun, undefined, [doc]);
        const made = tooMany ? null : rowsOf(list, bytesMax);
        return made;
      } catch (error) {
        if (tooMany) return null;
        if (isFatal(error)) throw error;
        const [name, reason] = thrown(error);
        log("function raised exception " + name + ": " + reason
          + " with doc._id " + told(own(doc, "_id")));
        return [];
      } finally {
        rows = null;
      }
    },
    // [result as JSON], or [name, reason] of what was thrown.
    reduce(fun, keys, values) {
      try {
        return [json(apply(fun, undefined, [keys, values, keys === null]))];
      } catch (error) {
        if (isFatal(error)) throw error;
        return thrown(error);
      }
    },
    // undefined, or [name, reason] of what was thrown.
    validate(fun, newDoc, oldDoc, user, security) {
      try {
        apply(fun, library, [newDoc, oldDoc, user, security]);
        return undefined;
      } catch (error) {
        if (isFatal(error)) throw error;
        // The query server hands on what was thrown, and CouchDB takes these for consent.
        if (error === true || error === 1 || error === "ok") return undefined;
        return thrown(error);
      }
    },
    // Whether the document passes, or [name, reason] of what was thrown.
    filter(fun, doc, request) {
      try {
        return apply(fun, library, [doc, request]) ? true : false;
      } catch (error) {
        if (isFatal(error)) throw error;
        return thrown(error);
      }
    },
    // The same by a map function: whether it emits.
    filterView(fun, doc) {
      emitted = false;
      try {
        apply(fun, undefined, [doc]);
        return emitted;
      } catch (error) {
        if (isFatal(error)) throw error;
        return thrown(error);
      }
    },
    seal: deepFreeze,
    thrown: thrown,
  };
})
