import type { Row } from "./harness.ts"

const heads = ["work", "subject", "unit", "median", "baseline", "ratio"] as const

/** Three significant digits, without an exponent. */
const figure = (value: number | undefined): string =>
  value === undefined ? "-" : value >= 100 ? value.toFixed(0) : value.toPrecision(3)

const cells = (row: Row): ReadonlyArray<string> => [
  row.work,
  row.subject,
  row.unit,
  figure(row.median),
  figure(row.baseline),
  row.ratio?.toFixed(2) ?? "-"
]

/** The rows as a table for people, right-aligned, and below it why any are without figures. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const lines = [heads, ...rows.map(cells)]
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const reasons = new Set(rows.flatMap((row) => row.leftOut === undefined ? [] : [`${row.subject}: ${row.leftOut}`]))
  return [
    ...lines.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  ")),
    ...reasons
  ].join("\n")
}
