package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const (
	progressAfter = time.Second // what is read sooner needs no bar
	progressEvery = 200 * time.Millisecond
	barWidth      = 24
)

// watch draws a progress bar from time to time until the function it returns is
// called, which takes the bar off the screen. The progress function tells how
// many bytes were read of how many, the latter 0 if that is not known; it is
// called from another goroutine.
func watch(t *terminal, name string, progress func() (read, total int64)) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		begun := time.Now()
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				t.draw("")
				return
			case now := <-tick.C:
				if after := now.Sub(begun); after >= progressAfter {
					read, total := progress()
					t.draw(filepath.Base(name) + "  " + bar(read, total, after))
				}
			}
		}
	}()
	return func() { close(done); <-gone }
}

// bar tells how far a read has come after some time, and when it will end if
// the total is known.
func bar(read, total int64, after time.Duration) string {
	rate := float64(read) / after.Seconds()
	speed := fmt.Sprintf("%s, %s/s", bytesText(float64(read)), bytesText(rate))
	if total <= 0 || read > total {
		return speed
	}
	done := float64(read) / float64(total)
	full := int(done * barWidth)
	s := fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), 100*done, speed)
	if rate > 0 {
		left := time.Duration(float64(total-read) / rate * float64(time.Second))
		s += ", " + left.Round(time.Second).String() + " left"
	}
	return s
}

// bytesText writes a size with two or three digits.
func bytesText(n float64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 1000 {
			if unit == "B" || n >= 10 {
				return fmt.Sprintf("%.0f %s", n, unit)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f TB", n)
}
