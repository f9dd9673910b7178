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

// watch draws a progress bar, as draw makes it after some time, now and then until
// the function it returns is called, which takes the bar off the screen. It calls
// draw from another goroutine.
func watch(t *terminal, draw func(after time.Duration) string) (stop func()) {
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
					t.draw(draw(after))
				}
			}
		}
	}()
	return func() { close(done); <-gone }
}

// fileBar draws how far a file is read. The progress function tells how many
// bytes were read of how many, the latter 0 if that is not known.
func fileBar(name string, progress func() (read, total int64)) func(time.Duration) string {
	return func(after time.Duration) string {
		read, total := progress()
		return filepath.Base(name) + "  " + bar(read, total, after)
	}
}

// targetBar draws how many targets are through.
func targetBar(through func() int64, total int) func(time.Duration) string {
	return func(after time.Duration) string {
		n := through()
		s := fmt.Sprintf("%s  %d of %d targets", shareBar(n, int64(total)), n, total)
		if n > 0 {
			s += ", " + left(n, int64(total), after)
		}
		return s
	}
}

// shareBar shows a share, the total being above 0.
func shareBar(done, total int64) string {
	share := float64(done) / float64(total)
	full := int(share * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), 100*share)
}

// left says when what has come so far, more than nothing, will be through.
func left(done, total int64, after time.Duration) string {
	d := time.Duration(float64(after) / float64(done) * float64(total-done))
	return d.Round(time.Second).String() + " left"
}

// bar tells how far a read has come after some time, and when it will end if
// the total is known.
func bar(read, total int64, after time.Duration) string {
	rate := float64(read) / after.Seconds()
	speed := fmt.Sprintf("%s, %s/s", bytesText(float64(read)), bytesText(rate))
	if total <= 0 || read > total {
		return speed
	}
	s := shareBar(read, total) + "  " + speed
	if read > 0 {
		s += ", " + left(read, total, after)
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
