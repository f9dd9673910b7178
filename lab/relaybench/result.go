package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is all that a run has measured.
type result struct {
	options options
	series  []*series
	direct  []sample // without a forwarder: round trips only
}

// median of one value of samples.
func median[T int64 | float64 | time.Duration](samples []sample, of func(*sample) T) T {
	var v []T
	for i := range samples {
		v = append(v, of(&samples[i]))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (r *result) render(w io.Writer) error {
	fmt.Fprintf(w, "%s · %d cores, %s/%s, %s · medians of %d rounds\n", time.Now().UTC().Format("2006-01-02"),
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), len(r.direct))
	if r.options.inspect {
		fmt.Fprintf(w, "%d connections a round, TLS 1.3 on both sides, %d at one time.\n\n", r.options.fresh, workers)
	} else {
		fmt.Fprintf(w, "A round: %d new TLS 1.3 connections, %d at one time; %d MiB of bulk data on one; %d round trips.\n"+
			"Memory and descriptors are those of %d idle connections.\n\n", r.options.fresh, workers, r.options.bulk, r.options.pings, r.options.idle)
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	head := "program\tnew connections/s\tCPU µs each"
	if !r.options.inspect {
		head += "\tGB/s\tCPU s/GB\tadded p50 µs\tadded p99 µs\tKiB idle\tdescriptors"
	}
	fmt.Fprintln(t, head)
	for _, s := range r.series {
		if s.failed != nil {
			fmt.Fprintf(t, "%s\tfailed: %v\n", strings.TrimSpace(s.name), s.failed)
			continue
		}
		row := []string{
			strings.TrimSpace(s.name),
			fmt.Sprintf("%.0f", median(s.samples, func(s *sample) float64 { return s.rate })),
			fmt.Sprintf("%d", median(s.samples, func(s *sample) time.Duration { return s.freshCPU }).Microseconds()),
		}
		if !r.options.inspect {
			row = append(row,
				fmt.Sprintf("%.2f", median(s.samples, func(s *sample) float64 { return s.gbps })),
				fmt.Sprintf("%.3f", median(s.samples, func(s *sample) float64 { return s.bulkCPU })),
				r.added(s, func(s *sample) time.Duration { return s.p50 }),
				r.added(s, func(s *sample) time.Duration { return s.p99 }),
				fmt.Sprintf("%.1f", float64(s.idle.rss)/1024),
				fmt.Sprintf("%d", s.idle.descriptors))
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// added is how much longer than without a forwarder something takes.
func (r *result) added(s *series, of func(*sample) time.Duration) string {
	return fmt.Sprintf("%.1f", float64((median(s.samples, of)-median(r.direct, of)).Nanoseconds())/1000)
}
