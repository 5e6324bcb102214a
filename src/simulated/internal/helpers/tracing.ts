// Helpers of programs that trace: stacks, arguments, cookies, and what changes the traced function.
import { errno } from "../../../abi/errno.ts"
import { bpf_stack_flags } from "../../../abi/generated/enums.ts"
import { viewOf } from "../memory.ts"
import { type Environment, failed, type Helpers, s32, u32, u64 } from "./environment.ts"

const { BPF_F_FAST_STACK_CMP, BPF_F_REUSE_STACKID, BPF_F_SKIP_FIELD_MASK, BPF_F_USER_BUILD_ID, BPF_F_USER_STACK } =
  bpf_stack_flags
const STACK_ID_FLAGS = BigInt(BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID)

export const tracingHelpers = ({ event, map, memory, task }: Environment): Helpers => {
  const frames = (flags: bigint): ReadonlyArray<bigint> => {
    const { kernelStack, userStack } = task().task
    const stack = (flags & BigInt(BPF_F_USER_STACK)) === 0n ? kernelStack : userStack
    return stack.slice(Number(flags & BigInt(BPF_F_SKIP_FIELD_MASK)))
  }
  const getStack = (buffer: bigint, size: number, flags: bigint): bigint => {
    const isUser = (flags & BigInt(BPF_F_USER_STACK)) !== 0n
    const withBuildIds = (flags & BigInt(BPF_F_USER_BUILD_ID)) !== 0n
    const known = BigInt(BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID)
    if ((flags & ~known) !== 0n || (withBuildIds && !isUser) || size % 8 !== 0) {
      memory.write(buffer, new Uint8Array(size))
      return failed(errno.EINVAL)
    }
    const all = frames(flags)
    const given = all.slice(0, size / 8)
    const bytes = new Uint8Array(size)
    for (const [index, frame] of given.entries()) viewOf(bytes).setBigUint64(index * 8, u64(frame), true)
    memory.write(buffer, bytes)
    return all.length === 0 ? failed(errno.EFAULT) : BigInt(given.length * 8)
  }
  const give = (address: bigint, value: bigint): bigint => {
    const bytes = new Uint8Array(8)
    viewOf(bytes).setBigUint64(0, u64(value), true)
    memory.write(address, bytes)
    return 0n
  }
  return {
    BPF_FUNC_get_stackid: (_context, pointer, flags) => {
      const stacks = map(pointer)?.stacks
      if (stacks === undefined) throw new RangeError("the second argument is no stack_trace map")
      if ((flags & ~STACK_ID_FLAGS) !== 0n) return failed(errno.EINVAL)
      const given = frames(flags)
      return given.length === 0 ? failed(errno.EFAULT) : u64(stacks.store(given, Number(flags)))
    },
    BPF_FUNC_get_stack: (_context, buffer, size, flags) => getStack(buffer, u32(size), flags),
    BPF_FUNC_get_task_stack: (_task, buffer, size, flags) => getStack(buffer, u32(size), flags),
    BPF_FUNC_get_attach_cookie: (_context) => u64(event().cookie),
    BPF_FUNC_get_func_ip: (_context) => u64(event().functionAddress),
    BPF_FUNC_get_func_arg: (_context, index, value) => {
      const argument = event().arguments[u32(index)]
      return argument === undefined ? failed(errno.EINVAL) : give(value, argument)
    },
    BPF_FUNC_get_func_ret: (_context, value) => {
      const { returned } = event()
      return returned === undefined ? failed(errno.EOPNOTSUPP) : give(value, returned)
    },
    BPF_FUNC_get_func_arg_cnt: (_context) => BigInt(event().arguments.length),
    BPF_FUNC_override_return: (_context, value) => {
      event().override = value
      return 0n
    },
    BPF_FUNC_get_retval: () => u64(event().retval),
    BPF_FUNC_set_retval: (value) => {
      event().retval = s32(value)
      return 0n
    }
  }
}
