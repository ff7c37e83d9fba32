package main

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// histogram counts delays in microseconds up to 200 ms.
type histogram struct{ counts [200_001]atomic.Uint32 }

func (h *histogram) add(ns int64) {
	h.counts[min(max(ns/1000, 0), 200_000)].Add(1)
}

func (h *histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
}

// quantile returns the delay that a share q of all stays below.
func (h *histogram) quantile(q float64) time.Duration {
	total := 0.0
	for i := range h.counts {
		total += float64(h.counts[i].Load())
	}
	sum := 0.0
	for i := range h.counts {
		if sum += float64(h.counts[i].Load()); sum >= q*total && sum > 0 {
			return time.Duration(i) * time.Microsecond
		}
	}
	return 0
}

// times are single measurements.
type times []time.Duration

func (t times) quantile(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(t))
	return s[min(len(s)-1, max(0, int(math.Ceil(q*float64(len(s))))-1))]
}

// summary is median, p99 and worst in milliseconds.
func (t times) summary() string {
	return fmt.Sprintf("%s / %s / %s", ms(t.quantile(0.5)), ms(t.quantile(0.99)), ms(t.quantile(1)))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
