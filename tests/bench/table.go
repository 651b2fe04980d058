package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table collects what was measured.
type table struct {
	out  io.Writer
	rows *tabwriter.Writer
}

func newTable(out io.Writer) *table {
	t := &table{out: out, rows: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("", "ours", "floor", "ratio", "limit", "")
	return t
}

// row has a cell for what was measured, our figure, the floor's, their ratio, the limit, and a verdict.
func (t *table) row(cells ...string) { fmt.Fprintln(t.rows, strings.Join(cells, "\t")) }

// note is a row of one figure, which no limit is set for.
func (t *table) note(what, figure string) { t.row(what, figure, "", "", "", "") }

// print writes the machine, and under it the table.
func (t *table) print() error {
	fmt.Fprintf(t.out, "%s, %d cores, %s %s/%s\n\n", processor(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return t.rows.Flush()
}

// processor is the model's name.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return cmp.Or(strings.TrimLeft(line, "\t :"), "unknown CPU")
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "MISSED"
}

func times(ratio float64) string { return fmt.Sprintf("%.2fx", ratio) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }

func microseconds(d time.Duration) string { return fmt.Sprintf("%.1f µs", d.Seconds()*1e6) }

// compare is a row of two durations, of which ours may be the limit times the floor's.
func (t *table) compare(what string, ours, floor time.Duration, limit float64, unit func(time.Duration) string) {
	ratio := float64(ours) / float64(floor)
	t.row(what, unit(ours), unit(floor), times(ratio), "<= "+times(limit), verdict(ratio <= limit))
}

// median is the value in the middle.
func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
