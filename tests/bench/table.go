package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	load string // before anything was measured
}

func newTable(out io.Writer) *table {
	t := &table{out: out, rows: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0), load: loadAverage()}
	t.row("", "ours", "floor", "ratio", "limit", "")
	return t
}

// row has a cell for what was measured, our figure, the floor's, their ratio, the limit, and a verdict.
func (t *table) row(cells ...string) { fmt.Fprintln(t.rows, strings.Join(cells, "\t")) }

// note is a row of one figure, which has no limit.
func (t *table) note(what, figure string) { t.row(what, figure) }

// durations is a row of two times, of which ours may be the floor's as many times as the limit says.
func (t *table) durations(what string, ours, floor time.Duration, limit float64, unit func(time.Duration) string) {
	ratio := float64(ours) / float64(floor)
	t.row(what, unit(ours), unit(floor), times(ratio), "<= "+times(limit), verdict(ratio <= limit))
}

// speeds is a row of the codec's.
func (t *table) speeds(what string, ours, floor, limit speed) {
	ratio := ours.nanoseconds / floor.nanoseconds
	t.row(what, ours.String(), floor.String(), times(ratio), "<= "+limit.String(), verdict(ours.within(limit)))
}

// print writes the machine, and under it the table.
func (t *table) print() error {
	fmt.Fprintf(t.out, "%s, %d cores, load average %s, %s %s/%s, %s\n\n",
		processor(), runtime.NumCPU(), t.load, runtime.Version(), runtime.GOOS, runtime.GOARCH, linkage())
	return t.rows.Flush()
}

// linkage tells how the programs are linked, on which their start-up depends.
func linkage() string {
	out, _ := exec.Command("go", "env", "CGO_ENABLED").Output()
	return "CGO_ENABLED=" + strings.TrimSpace(string(out))
}

// processor is the model's name.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return cmp.Or(strings.TrimLeft(line, "\t :"), "unknown CPU")
}

// loadAverage is that of the last minute: over 1, others use the machine too and the figures suffer.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return cmp.Or(first, "unknown")
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

// median is the value in the middle.
func median[T cmp.Ordered](values []T) T { return medianFunc(values, cmp.Compare[T]) }

func medianFunc[T any](values []T, compare func(a, b T) int) T {
	return slices.SortedFunc(slices.Values(values), compare)[len(values)/2]
}
