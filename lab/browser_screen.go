//go:build linux

package lab

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Screen is a virtual display that tests look at.
type Screen struct {
	// Display is what the environment variable DISPLAY wants.
	Display string

	ns     Namespace
	buffer string // the file that holds the frame buffer
}

// Size of a screen in pixels.
const screenWidth, screenHeight = 1280, 900

// NewScreen starts a virtual display in the client's namespace.
func (l *Lab) NewScreen() *Screen {
	l.T.Helper()
	dir, err := os.MkdirTemp(l.Dir, "screen")
	if err != nil {
		l.T.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		l.T.Fatal(err)
	}
	defer r.Close()
	cmd := l.Net.Client.Command("Xvfb", "-displayfd", "3", "-nolisten", "tcp", "-fbdir", dir,
		"-screen", "0", fmt.Sprintf("%dx%dx24", screenWidth, screenHeight))
	cmd.ExtraFiles = []*os.File{w} // the first of them is descriptor 3
	Start(l.T, cmd)
	w.Close()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		l.T.Fatal("Xvfb did not say which display it is: ", err)
	}
	return &Screen{Display: ":" + strings.TrimSpace(line), ns: l.Net.Client, buffer: filepath.Join(dir, "Xvfb_screen0")}
}

// Dialog reports whether a modal dialog is up. Both browsers put a bright card
// below their toolbar and dim the page around it.
func (s *Screen) Dialog(t testing.TB) bool {
	t.Helper()
	img := s.image(t)
	light := func(x, y int) int { return int(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y) }
	for _, x := range []int{100, 500, 900} {
		if l := light(x, 700); l < 60 || l > 180 {
			return false
		}
	}
	return light(530, 300) > 220
}

// WaitDialog waits until a dialog is up and returns when that was seen. The
// test fails after two minutes: a busy machine takes long to start a browser.
func (s *Screen) WaitDialog(t testing.TB) time.Time {
	t.Helper()
	if !poll(2*time.Minute, func() bool { return s.Dialog(t) }) {
		t.Fatal("no dialog in two minutes")
	}
	return time.Now()
}

// Press presses a key, named as in X11.
func (s *Screen) Press(t testing.TB, key string) {
	t.Helper()
	s.input(t, "key", key)
}

// Type presses the keys of a text.
func (s *Screen) Type(t testing.TB, text string) {
	t.Helper()
	s.input(t, "type", text)
}

func (s *Screen) input(t testing.TB, args ...string) {
	t.Helper()
	cmd := s.ns.Command("xdotool", args...)
	cmd.Env = append(os.Environ(), "DISPLAY="+s.Display)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("xdotool %v: %v\n%s", args, err, out)
	}
}

// Save writes what is on the screen to a PNG file.
func (s *Screen) Save(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, s.image(t)); err != nil {
		t.Fatal(err)
	}
}

// image returns what is on the screen. Xvfb keeps it in a file in the format of
// xwd: a header of big-endian words that begins with its own length, a colour
// map, then the pixels.
func (s *Screen) image(t testing.TB) image.Image {
	t.Helper()
	const (
		fieldHeader     = 0
		fieldBits       = 11 // per pixel
		fieldLine       = 12 // bytes
		fieldColors     = 19
		bytesPerMapping = 12
	)
	b, err := os.ReadFile(s.buffer)
	if err != nil {
		t.Fatal(err)
	}
	field := func(i int) int {
		if len(b) < 4*(i+1) {
			return 0
		}
		return int(binary.BigEndian.Uint32(b[4*i:]))
	}
	start := field(fieldHeader) + field(fieldColors)*bytesPerMapping
	line := field(fieldLine)
	if field(fieldBits) != 32 || line < 4*screenWidth || len(b) < start+line*screenHeight {
		t.Fatalf("%s is not a screen of %d × %d", s.buffer, screenWidth, screenHeight)
	}
	img := image.NewRGBA(image.Rect(0, 0, screenWidth, screenHeight))
	for y := range screenHeight {
		row := b[start+y*line:]
		for x := range screenWidth {
			img.SetRGBA(x, y, color.RGBA{R: row[4*x+2], G: row[4*x+1], B: row[4*x], A: 255})
		}
	}
	return img
}
