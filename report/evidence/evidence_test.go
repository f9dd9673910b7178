package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/parse"
)

var (
	client = netip.MustParseAddr("198.18.0.1")
	server = netip.MustParseAddrPort("198.18.0.2:443")
	start  = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
)

// send hands a packet of size bytes of a connection over, as from the wire.
func send(k *Keeper, port uint16, flags uint8, size int) {
	seg := capture.Segment{
		Tuple: capture.Tuple{Src: client.As16(), Dst: server.Addr().As16(), SrcPort: port, DstPort: server.Port()},
		Flags: flags, Payload: make([]byte, size),
	}
	data := make([]byte, 40+size)
	binary.BigEndian.PutUint16(data[20:], port)
	k.Packet(start.UnixNano(), 101, len(data), data, &seg)
}

func handshake(port uint16) *parse.Handshake {
	return &parse.Handshake{Start: start, Flow: parse.Flow{Addrs: [2]netip.AddrPort{netip.AddrPortFrom(client, port), server}}}
}

func answered(k *Keeper, port uint16) {
	k.Answered(handshake(port), netip.AddrPortFrom(client, port), server, "somebody asked")
}

// packets reads a file to its end.
func packets(t *testing.T, name string) (n int) {
	t.Helper()
	r, err := file.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for p := (file.Packet{}); ; n++ {
		if err := r.Next(&p); err == io.EOF {
			return n
		} else if err != nil {
			t.Fatalf("%s, packet %d: %v", name, n+1, err)
		}
		if p.Time != start.UnixNano() || p.Link != 101 || p.WireLen != len(p.Data) {
			t.Fatalf("%s: %+v", name, p)
		}
	}
}

func open(t *testing.T, o Options) *Keeper {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	k, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	out, err := filepath.Glob(filepath.Join(dir, filePrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLong: of a long connection the start and the latest packets are kept.
func TestLong(t *testing.T) {
	dir := t.TempDir()
	k := open(t, Options{Dir: dir})
	send(k, 1000, capture.FlagSYN, 0)
	for range 1000 {
		send(k, 1000, capture.FlagACK, 1000)
	}
	answered(k, 1000)
	send(k, 1000, capture.FlagACK, 10)
	k.Ended(handshake(1000))
	k.Close()
	files := names(t, dir)
	if len(files) != 1 {
		t.Fatal(files)
	}
	n := packets(t, files[0])
	if least := (headBytes + tailBytes) / 1080; n < least || n > 2*least {
		t.Errorf("%d packets", n)
	}
	if s := k.Stats(); s.Files < 1 || s.Cut != int64(1002-n) || k.bytes != 0 || len(k.flows) != 0 {
		t.Errorf("%+v, %d packets, %d bytes, %d flows", s, n, k.bytes, len(k.flows))
	}
}

// TestFixed: what a connection was answered by stays, however much comes behind it, and
// is bounded; what did not come is told.
func TestFixed(t *testing.T) {
	dir := t.TempDir()
	k := open(t, Options{Dir: dir})
	send(k, 1000, capture.FlagSYN, 0)
	for range 10 {
		for range 200 {
			send(k, 1000, capture.FlagACK, 1000)
		}
		send(k, 1000, capture.FlagACK, 777)
		answered(k, 1000)
	}
	part := capture.LeftOut{Src: server, From: 1, To: 1 << 31}
	k.LeftOut(&capture.Tuple{Src: server.Addr().As16(), Dst: client.As16(), SrcPort: server.Port(), DstPort: 1000}, part)
	k.LeftOut(&capture.Tuple{SrcPort: 1}, part)
	k.mu.Lock()
	f := k.find(&handshake(1000).Flow, start.UnixNano())
	held := f.bytes()
	k.mu.Unlock()
	if held > fixedBytes+3*tailBytes || k.bytes != held {
		t.Errorf("%d bytes are kept, %d counted", held, k.bytes)
	}
	for range 200 {
		send(k, 1000, capture.FlagACK, 1000)
	}
	k.Ended(handshake(1000))
	k.Close()
	r, err := file.Open(names(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	deciding := 0
	for i, p := 0, (file.Packet{}); r.Next(&p) == nil; i++ {
		if p.WireLen > 777 && p.WireLen < 1000 {
			deciding++
		}
		if told := capture.ReadLeftOut(p.Comment); i == 0 != slices.Equal(told, []capture.LeftOut{part}) {
			t.Errorf("packet %d: %q", i, p.Comment)
		}
	}
	if deciding < 2 {
		t.Errorf("%d of the packets that it was answered by are kept", deciding)
	}
}

// TestSplit: both ways of a connection are in its file, in order, whatever tunnels
// they came by.
func TestSplit(t *testing.T) {
	dir := t.TempDir()
	k := open(t, Options{Dir: dir, ViaName: func(via uint32) string { return fmt.Sprint("vxlan ", via) }})
	there := capture.Tuple{Src: client.As16(), Dst: server.Addr().As16(), SrcPort: 1000, DstPort: server.Port(), Via: 7}
	back := there.Reverse()
	back.Via = 8
	for i := range 20 {
		seg := capture.Segment{Tuple: there, Flags: capture.FlagACK, Payload: []byte("x")}
		if i%3 > 0 {
			seg.Tuple = back
		}
		if i < 2 {
			seg.Flags |= capture.FlagSYN
			seg.Payload = nil
		}
		k.Packet(start.UnixNano()+int64(i), 101, 1, []byte{byte(i)}, &seg)
	}
	h := handshake(1000)
	h.Start = start.Add(5)
	h.Flow.Via = capture.JoinVias("vxlan 7", "vxlan 8")
	k.Answered(h, netip.AddrPortFrom(client, 1000), server, "somebody asked")
	k.Ended(h)
	k.Close()
	files := names(t, dir)
	if len(files) != 1 || k.bytes != 0 || len(k.flows) != 0 {
		t.Fatalf("%v, %d bytes, %d flows", files, k.bytes, len(k.flows))
	}
	r, err := file.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 20 {
		var p file.Packet
		if err := r.Next(&p); err != nil || p.Time != start.UnixNano()+int64(i) || p.Data[0] != byte(i) {
			t.Fatalf("packet %d: %+v, %v", i, p, err)
		}
	}
}

// TestFlood: connections that carry nothing cost no others, and no memory.
func TestFlood(t *testing.T) {
	k := open(t, Options{})
	send(k, 1, capture.FlagSYN, 0)
	send(k, 1, capture.FlagACK, 100)
	for port := 2; port < 60000; port++ {
		send(k, uint16(port), capture.FlagSYN, 0)
	}
	if n := len(k.flows); n > quietFlows+1 {
		t.Errorf("%d flows", n)
	}
	answered(k, 1)
	answered(k, 2)
	k.Close()
	if s := k.Stats(); s.Files != 1 || s.Lost != 1 {
		t.Errorf("%+v", s)
	}
}

// TestMemory: bulk of many connections stays within bounds.
func TestMemory(t *testing.T) {
	k := open(t, Options{})
	for port := uint16(1); port <= 400; port++ {
		for range 100 {
			send(k, port, capture.FlagACK, 1400)
		}
		if k.bytes > memoryBytes {
			t.Fatalf("%d bytes", k.bytes)
		}
	}
	sum := 0
	for _, f := range k.flows {
		sum += f.bytes()
	}
	if sum != k.bytes || k.heard.n != len(k.flows) || k.flows[keyOf(&capture.Tuple{Src: client.As16(), Dst: server.Addr().As16(), SrcPort: 400, DstPort: 443})] == nil {
		t.Errorf("%d bytes, counted %d; %d flows, counted %d", sum, k.bytes, len(k.flows), k.heard.n)
	}
	k.Close()
}

// TestDismissed: an answer that is taken back leaves no file.
func TestDismissed(t *testing.T) {
	dir := t.TempDir()
	k := open(t, Options{Dir: dir})
	send(k, 1, capture.FlagACK, 100)
	answered(k, 1)
	k.Dismissed(handshake(1))
	k.Ended(handshake(1))
	k.Close()
	if left := names(t, dir); len(left) != 0 {
		t.Error(left)
	}
}

// TestFullDisk: it is said once, tried again, and nothing waits for it.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var mu sync.Mutex // of said
		var said []string
		w, err := openWriter(Options{Dir: dir, Log: func(s string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, s)
		}})
		if err != nil {
			t.Fatal(err)
		}
		var full atomic.Bool
		full.Store(true)
		w.write = func(name string, data []byte) error {
			if full.Load() {
				return syscall.ENOSPC
			}
			return w.replace(name, data)
		}
		go w.run()
		const files = 20
		for i := range files { // more than may wait
			w.put(fmt.Sprintf("%s%02d%s", filePrefix, i, fileSuffix), make([]byte, waitingBytes/10))
			synctest.Wait()
		}
		time.Sleep(3 * retryAfter)
		synctest.Wait()
		mu.Lock()
		w.mu.Lock()
		if len(said) != 1 || w.waiting > waitingBytes {
			t.Errorf("said %q, %d bytes wait", said, w.waiting)
		}
		w.mu.Unlock()
		mu.Unlock()
		full.Store(false)
		time.Sleep(2 * retryAfter)
		synctest.Wait()
		w.close()
		var s Stats
		w.count(&s)
		if len(said) != 2 || s.Failed < 3 || s.Files == 0 || s.Files+s.Lost != files || len(names(t, dir)) != int(s.Files) {
			t.Errorf("said %q, %+v, %d files", said, s, len(names(t, dir)))
		}
	})
}

// TestLimits: the oldest go first, what is not ours stays, leftovers go.
func TestLimits(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, age time.Duration) {
		full := filepath.Join(dir, name)
		if err := os.WriteFile(full, make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(full, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("other.pcapng", 100*time.Hour)
	write("."+filePrefix+"x"+tempSuffix, 0)
	write(filePrefix+"a"+fileSuffix, 50*time.Hour) // too old
	write(filePrefix+"b"+fileSuffix, 3*time.Hour)
	write(filePrefix+"c"+fileSuffix, 4*time.Hour) // the oldest left
	w, err := openWriter(Options{Dir: dir, Limits: Limits{Size: 2500, Age: 48 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	go w.run()
	w.put(filePrefix+"d"+fileSuffix, make([]byte, 1000))
	w.close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{"other.pcapng", filePrefix + "b" + fileSuffix, filePrefix + "d" + fileSuffix}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
}

const childDir = "WHOASKED_TEST_EVIDENCE"

// TestChild writes until it is killed, for TestKilled.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("started by TestKilled only")
	}
	k := open(t, Options{Dir: dir})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		for port := uint16(1); port < 50; port++ {
			send(k, port, capture.FlagACK, 30000)
			answered(k, port)
		}
	}
}

// TestKilled: what has its name can be read, whenever the program is killed.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(15 * time.Second)
		for len(names(t, dir)) < 5+5*round && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		files := names(t, dir)
		if len(files) < 5 {
			t.Fatalf("%d files were written", len(files))
		}
		for _, name := range files {
			if packets(t, name) == 0 {
				t.Errorf("%s is empty", name)
			}
		}
	}
	open(t, Options{Dir: dir}).Close()
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
