package config

import (
	"fmt"
	"slices"
	"strings"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// didYouMean names the known word nearest to an unknown one, in the form it is
// put behind a message; empty if none is near.
func didYouMean(unknown string, known []string) string {
	if best := Nearest(unknown, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// Nearest returns the known word with the smallest edit distance to an unknown
// one, empty if more than half of the letters differ. A word with dots is also
// tried without what stands before them.
func Nearest(unknown string, known []string) string {
	best, bestDistance := "", 0
	unknown = canonical(unknown)
	for _, k := range known {
		full := canonical(k)
		last := full[strings.LastIndexByte(full, '.')+1:]
		for _, candidate := range []string{full, last} {
			d := distance(unknown, candidate)
			if 2*d <= max(len(unknown), len(candidate)) && (best == "" || d < bestDistance) {
				best, bestDistance = k, d
			}
		}
	}
	return best
}

// canonical evens out what people mix up: case, and what joins two words.
func canonical(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "_", "-")
}

// distance counts the single-byte insertions, deletions, substitutions and
// swaps of neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
