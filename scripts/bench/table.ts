import type { Row } from "./harness.ts"

const heads = ["work", "subject", "unit", "median", "baseline", "ratio"] as const

/** Three significant digits, without an exponent. */
const figure = (value: number): string => value >= 100 ? value.toFixed(0) : value.toPrecision(3)

const cells = (row: Row): ReadonlyArray<string> => [
  row.work,
  row.subject,
  row.unit,
  figure(row.median),
  figure(row.baseline),
  row.ratio.toFixed(2)
]

/** The rows as a table for people, right-aligned. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const lines = [heads, ...rows.map(cells)]
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  ")).join("\n")
}
