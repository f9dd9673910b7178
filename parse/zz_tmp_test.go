package parse

import (
	"os"
	"strings"
	"testing"
	"path/filepath"
)

func TestTmpAll(t *testing.T) {
	list, _ := os.ReadFile("/tmp/t3-files.txt")
	n, ver := 0, map[Version]int{}
	mal := map[string]int{}
	for _, f := range strings.Fields(string(list)) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			for _, hello := range tsharkHellos(t, f) {
				typ, body, ok := wholeMessage(hello.payload)
				if !ok { continue }
				var got, want, m string
				switch {
				case typ == TypeClientHello && hello.ja3 != "":
					var h *ClientHello
					h, m = parseClientHello(body, true)
					if h == nil { t.Errorf("%s nil %s", hello.stream, m); continue }
					got, want = h.JA3, hello.ja3
				case typ == TypeServerHello && hello.ja3s != "":
					var h *ServerHello
					h, _, m = parseServerHello(body, true)
					if h == nil { t.Errorf("%s nil %s", hello.stream, m); continue }
					got, want = h.JA3S, hello.ja3s
					ver[h.Version]++
				default:
					continue
				}
				n++
				if m != "" { mal[m]++; t.Logf("MAL %s %s %s", f, hello.stream, m) }
				if got != want { t.Errorf("%s, stream %s, %v: %s; tshark says %s (%s)", f, hello.stream, typ, got, want, m) }
			}
		})
	}
	t.Logf("%d compared, %v %v", n, ver, mal)
}
