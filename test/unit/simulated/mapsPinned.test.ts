import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { errno } from "../../../src/abi/errno.ts"
import { bpf_cmd, fsconfig_command } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_get_id, bpf_attr_obj } from "../../../src/abi/generated/structs.ts"
import { magic } from "../../../src/abi/os.ts"
import type { MapDoor } from "../../support/mapDoor.ts"
import { withDoor } from "../../support/simulatedMaps.ts"

const PATH_FD = 16384

const create = (door: MapDoor): number =>
  door.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 4, flags: 0 }, { btf: -1 })

const pin = (
  door: MapDoor,
  fd: number,
  path: string,
  more: { readonly file_flags?: number; readonly path_fd?: number } = {}
) => door.call(bpf_cmd.BPF_OBJ_PIN, bpf_attr_obj, { pathname: door.text(path), bpf_fd: fd, ...more })

const get = (door: MapDoor, path: string, more: { readonly file_flags?: number; readonly path_fd?: number } = {}) =>
  door.call(bpf_cmd.BPF_OBJ_GET, bpf_attr_obj, { pathname: door.text(path), ...more })

const exists = (door: MapDoor, id: number): boolean => {
  const fd = door.call(bpf_cmd.BPF_MAP_GET_FD_BY_ID, bpf_attr_get_id, { map_id: id })
  if (fd >= 0) door.kernel.files.close(fd)
  return fd >= 0
}

const key = Uint8Array.of(1, 0, 0, 0)

describe("the BPF file system of the simulated kernel", () => {
  it.effect("a pinned map outlives its descriptors, and is had again by its name until it is unpinned", () =>
    withDoor((door) => {
      const fd = create(door)
      const id = door.id(fd)
      door.update(fd, key, key, 0)
      expect(pin(door, fd, "/sys/fs/bpf/counters")).toBe(0)
      expect(pin(door, fd, "/sys/fs/bpf/counters")).toBe(-errno.EEXIST)
      door.kernel.files.close(fd)
      const again = get(door, "/sys/fs/bpf/./counters")
      expect(door.id(again)).toBe(id)
      expect(door.lookup(bpf_cmd.BPF_MAP_LOOKUP_ELEM, again, key, new Uint8Array(4), 0).result).toBe(0)
      expect(door.kernel.files.unlink("/sys/fs/bpf/counters")).toBe(0)
      expect(exists(door, id)).toBe(true)
      door.kernel.files.close(again)
      expect(exists(door, id)).toBe(false)
      expect(get(door, "/sys/fs/bpf/counters")).toBe(-errno.ENOENT)
      expect(door.kernel.files.unlink("/sys/fs/bpf/counters")).toBe(-errno.ENOENT)
    }))

  it.effect("wrong names fail as they do on Linux", () =>
    withDoor((door) => {
      const fd = create(door)
      expect(pin(door, fd, "/tmp/elsewhere")).toBe(-errno.EPERM)
      expect(pin(door, fd, "/tmp")).toBe(-errno.EEXIST)
      expect(pin(door, fd, "/nowhere/at/all")).toBe(-errno.ENOENT)
      expect(pin(door, fd, "")).toBe(-errno.ENOENT)
      expect(pin(door, fd, "/sys/fs/bpf/with.dot")).toBe(-errno.EPERM)
      expect(pin(door, fd, `/sys/fs/bpf/${"n".repeat(256)}`)).toBe(-errno.ENAMETOOLONG)
      expect(pin(door, fd, "/sys/fs/bpf/a/b")).toBe(-errno.ENOENT)
      expect(pin(door, fd, "/sys/fs/bpf/a")).toBe(0)
      expect(pin(door, fd, "/sys/fs/bpf/a/b")).toBe(-errno.ENOTDIR)
      expect(pin(door, 900, "/sys/fs/bpf/c")).toBe(-errno.EINVAL)
      expect(pin(door, fd, "/sys/fs/bpf/c", { file_flags: 8 })).toBe(-errno.EINVAL)
      expect(get(door, "/sys/fs/bpf")).toBe(-errno.EACCES)
      expect(get(door, "/tmp")).toBe(-errno.EACCES)
      expect(get(door, "/sys/fs/bpf/a", { file_flags: 24 })).toBe(-errno.EINVAL)
      expect(get(door, "/sys/fs/bpf/a", { path_fd: fd })).toBe(-errno.EINVAL)
      expect(door.kernel.files.read("/sys/fs/bpf/a")).toBe(-errno.EIO)
      door.kernel.files.close(fd)
    }))

  it.effect("a map that is opened to be read only is not written through that descriptor", () =>
    withDoor((door) => {
      const fd = create(door)
      pin(door, fd, "/sys/fs/bpf/m")
      const reader = get(door, "/sys/fs/bpf/m", { file_flags: 8 })
      const writer = get(door, "/sys/fs/bpf/m", { file_flags: 16 })
      const look = (by: number) => door.lookup(bpf_cmd.BPF_MAP_LOOKUP_ELEM, by, key, new Uint8Array(4), 0).result
      expect(door.update(reader, key, key, 0).result).toBe(-errno.EPERM)
      expect(door.update(writer, key, key, 0).result).toBe(0)
      expect(look(reader)).toBe(0)
      expect(look(writer)).toBe(-errno.EPERM)
      const copy = door.kernel.files.dup(reader)
      expect(door.update(copy, key, key, 0).result).toBe(-errno.EPERM)
      for (const each of [fd, reader, writer, copy]) door.kernel.files.close(each)
    }))

  it.effect("folders can be made, and pins in them", () =>
    withDoor((door) => {
      const fd = create(door)
      expect(door.kernel.files.mkdir("/sys/fs/bpf/app")).toBe(0)
      expect(door.kernel.files.mkdir("/sys/fs/bpf/app")).toBe(-errno.EEXIST)
      expect(door.kernel.files.mkdir("/sys/fs/bpf/none/app")).toBe(-errno.ENOENT)
      expect(door.kernel.files.mkdir("/sys/fs/app")).toBe(-errno.EPERM)
      expect(pin(door, fd, "/sys/fs/bpf/app/m")).toBe(0)
      expect(get(door, "/sys/fs/bpf/app")).toBe(-errno.EACCES)
      expect(door.kernel.files.unlink("/sys/fs/bpf/app")).toBe(-errno.EISDIR)
      expect(door.kernel.files.unlink("/sys/fs/bpf/app/../app/m")).toBe(0)
      door.kernel.files.close(fd)
    }))

  it.effect("unmounting takes the pins with it, and each mount has names of its own", () =>
    withDoor((door) => {
      const fd = create(door)
      const id = door.id(fd)
      expect(door.kernel.files.mkdir("/tmp/bpf")).toBe(0)
      expect(pin(door, fd, "/tmp/bpf/m")).toBe(-errno.EPERM)
      expect(door.kernel.files.mount("bpf", "/tmp/bpf")).toBe(0)
      expect(door.kernel.files.fileSystemType("/tmp/bpf")).toBe(magic.BPF_FS_MAGIC)
      expect(pin(door, fd, "/tmp/bpf/m")).toBe(0)
      expect(get(door, "/sys/fs/bpf/m")).toBe(-errno.ENOENT)
      expect(new TextDecoder().decode(door.kernel.files.read("/proc/self/mountinfo") as Uint8Array)).toMatch(
        / \/tmp\/bpf .* - bpf /
      )
      door.kernel.files.close(fd)
      expect(exists(door, id)).toBe(true)
      expect(door.kernel.files.unmount("/tmp/bpf")).toBe(0)
      expect(exists(door, id)).toBe(false)
      expect(door.kernel.files.unmount("/tmp/bpf")).toBe(-errno.EINVAL)
      expect(door.kernel.files.fileSystemType("/tmp/bpf")).not.toBe(magic.BPF_FS_MAGIC)
      expect(door.kernel.files.mount("nosuchfs", "/tmp/bpf")).toBe(-errno.ENODEV)
      expect(door.kernel.files.mount("bpf", "/tmp/none")).toBe(-errno.ENOENT)
    }))

  it.effect("a private mount is reached by its descriptor, and its pins go with it", () =>
    withDoor((door) => {
      const context = door.kernel.files.fsopen("bpf")
      expect(door.kernel.files.fsconfig(context, fsconfig_command.FSCONFIG_CMD_CREATE)).toBe(0)
      const mount = door.kernel.files.fsmount(context)
      const fd = create(door)
      const id = door.id(fd)
      expect(pin(door, fd, `/proc/self/fd/${mount}/m`)).toBe(0)
      expect(pin(door, fd, "n", { file_flags: PATH_FD, path_fd: mount })).toBe(0)
      expect(pin(door, fd, "n", { file_flags: PATH_FD, path_fd: 900 })).toBe(-errno.EBADF)
      expect(pin(door, fd, "n", { file_flags: PATH_FD, path_fd: fd })).toBe(-errno.ENOTDIR)
      const again = get(door, "m", { file_flags: PATH_FD, path_fd: mount })
      expect(door.id(again)).toBe(id)
      for (const each of [context, fd, again]) door.kernel.files.close(each)
      expect(exists(door, id)).toBe(true)
      door.kernel.files.close(mount)
      expect(exists(door, id)).toBe(false)
    }))
})
