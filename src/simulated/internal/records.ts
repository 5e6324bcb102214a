// What programs did that has no other trace in the simulated kernel: tests ask for it.

/** Bytes that went to a perf ring. */
export interface PerfOutput {
  /** The map's name. */
  readonly map: string
  readonly cpu: number
  readonly data: Uint8Array
}

/** A signal that bpf_send_signal sent. */
export interface Signal {
  readonly pid: number
  readonly signal: number
}

export class Records {
  /** Texts of bpf_trace_printk, in order. */
  readonly printed: Array<string> = []
  readonly perfOutputs: Array<PerfOutput> = []
  readonly signals: Array<Signal> = []
}
