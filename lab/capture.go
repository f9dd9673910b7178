//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// Capture is a running tcpdump.
type Capture struct {
	// Path is the pcap file.
	Path string

	ns     Namespace
	device string
	proc   *Process
}

// sentinelPort (discard) is where the datagram goes that ends a capture.
const sentinelPort = 9

// carried is the filter of captures: TCP, in VXLAN too.
const carried = "tcp or udp dst port 4789"

// StartCapture captures the TCP packets of a device in a namespace into a pcap
// file and returns once tcpdump listens.
func StartCapture(t testing.TB, ns Namespace, device, path string) *Capture {
	t.Helper()
	return startCapture(t, ns, device, path, carried, "--immediate-mode")
}

// StartBulkCapture is StartCapture where bulk data passes: packets reach the file
// up to a second later, but as many fit the buffer as their bytes let; else it is
// a few hundred.
func StartBulkCapture(t testing.TB, ns Namespace, device, path string) *Capture {
	t.Helper()
	return startCapture(t, ns, device, path, carried)
}

// startCapture captures the packets that a filter of tcpdump lets through.
func startCapture(t testing.TB, ns Namespace, device, path, filter string, more ...string) *Capture {
	t.Helper()
	c := &Capture{Path: path, ns: ns, device: device}
	args := append([]string{"-i", device, "-w", path, "-U", "-s", "0", "-n", "-Z", "root", "-B", "65536"}, more...)
	c.proc = Start(t, ns.Command("tcpdump", append(args, fmt.Sprintf("%s or udp dst port %d", filter, sentinelPort))...))
	c.proc.WaitFor(t, "listening on")
	return c
}

// Stop ends the capture once everything sent before has reached the file: it
// sends a datagram of its own and waits to find it there. The test fails if
// the kernel has dropped packets.
func (c *Capture) Stop(t testing.TB) {
	t.Helper()
	target := c.ns.Peer.String()
	if c.device == "lo" {
		target = "127.0.0.1"
	}
	mark := sendSentinel(t, c.ns, target)
	if !poll(time.Minute, func() bool { return tailContains(t, c.Path, mark) }) {
		t.Fatal("the sentinel did not reach the capture in a minute")
	}
	c.proc.Signal(syscall.SIGINT)
	<-c.proc.Done()
	out := c.proc.Output()
	dropped := regexp.MustCompile(`(\d+) packets? dropped by kernel`).FindStringSubmatch(out)
	if dropped == nil || dropped[1] != "0" {
		t.Fatalf("the capture is not complete:\n%s", out)
	}
}

// sendSentinel sends a datagram and returns what is in it.
func sendSentinel(t testing.TB, ns Namespace, target string) string {
	t.Helper()
	mark := fmt.Sprintf("whoasked sentinel %d", time.Now().UnixNano())
	// bash: this process is not in the namespace.
	script := fmt.Sprintf("printf '%s' > /dev/udp/%s/%d", mark, target, sentinelPort)
	if out, err := ns.Command("bash", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("send the sentinel: %v\n%s", err, out)
	}
	return mark
}

// tailContains looks for text in the last bytes of a file.
func tailContains(t testing.TB, path, text string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, min(info.Size(), 64<<10))
	n, _ := f.ReadAt(b, info.Size()-int64(len(b)))
	return bytes.Contains(b[:n], []byte(text))
}
