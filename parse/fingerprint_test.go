package parse

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// captures is where the shared captures are, seen from this package.
const captures = "../../shared/captures"

// list16 builds the body of an extension that is a list of 16-bit values.
func list16(values ...uint16) []byte {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addUint16s(b, values) })
	return b.BytesOrPanic()
}

// TestJA3 uses the examples that the method was published with.
func TestJA3(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		body       []byte
	}{
		{"extensions", "ada70206e40642a3e4461f35503241d5", buildClientHello(769,
			[]uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
			[]testExtension{{0, nil}, {10, list16(23, 24, 25)}, {11, []byte{1, 0}}})},
		{"none", "de350869b8c85de67a350c8d186f11e6", buildClientHello(769, []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}, nil)},
		{"GREASE", "ada70206e40642a3e4461f35503241d5", buildClientHello(769,
			[]uint16{0x1a1a, 47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
			[]testExtension{{0xcaca, nil}, {0, nil}, {10, list16(0xfafa, 23, 24, 25)}, {11, []byte{1, 0}}, {0x0a0a, nil}})},
	} {
		if h, _ := parseClientHello(tt.body, true); h.JA3 != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, h.JA3, tt.want)
		}
	}
	h, _, _ := parseServerHello(buildServerHello(769, make([]byte, 32), false, 47,
		[]testExtension{{65281, nil}, {0, nil}, {11, nil}, {35, nil}, {5, nil}, {16, nil}}), true)
	if want := "836ce314215654b5b1f85f97c73e506f"; h.JA3S != want {
		t.Errorf("JA3S %s, want %s", h.JA3S, want)
	}
}

// TestJA4 uses the example of the method's description, varied.
func TestJA4(t *testing.T) {
	suites := []uint16{0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035}
	schemes := list16(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
	alpn := func(name string) []byte {
		n := byte(len(name))
		return append([]byte{0, n + 1, n}, name...)
	}
	example := func(alpn []byte, schemes testExtension, versions ...uint16) []testExtension {
		var list []byte
		for _, v := range versions {
			list = append(list, byte(v>>8), byte(v))
		}
		return []testExtension{{0x0a0a, nil}, {0x1b, nil}, {0, nil}, {0x33, nil}, {0x10, alpn}, {0x4469, nil}, {0x17, nil},
			{0x2d, nil}, schemes, {5, nil}, {0x23, nil}, {0x12, nil}, {0x2b, append([]byte{byte(len(list))}, list...)},
			{0xff01, nil}, {11, nil}, {10, nil}, {0x15, nil}, {0xdada, nil}}
	}
	many := make([]uint16, 120)
	for i := range many {
		many[i] = 0xb000 + uint16(i)
	}
	for _, tt := range []struct {
		name, want string
		version    uint16
		suites     []uint16
		extensions []testExtension
	}{
		{"example", "t13d1516h2_8daaf6152771_e5627efa2ab1", 0x0303, suites, example(alpn("h2"), testExtension{13, schemes}, 0x0a0a, 0x0304, 0x0303)},
		{"order of versions", "t13d1516h1_8daaf6152771_e5627efa2ab1", 0x0303, suites, example(alpn("http/1.1"), testExtension{13, schemes}, 0x0303, 0x0304)},
		{"draft", "t00d151600_8daaf6152771_e5627efa2ab1", 0x0303, suites, example(nil, testExtension{13, schemes}, 0x7f1c, 0x0303)},
		{"schemes with GREASE", "t13d1516h2_8daaf6152771_e5627efa2ab1", 0x0303, suites, example(alpn("h2"),
			testExtension{13, list16(0x1a1a, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)}, 0x0304)},
		{"no schemes", "t13d1516h2_8daaf6152771_6d807ffa2a79", 0x0303, suites, example(alpn("h2"), testExtension{13, nil}, 0x0304)},
		{"nothing", "t12i010000_" + shortHash("002f") + "_000000000000", 0x0303, []uint16{0x2f}, nil},
		{"only GREASE suites", "t10i000000_000000000000_000000000000", 0x0301, []uint16{0x0a0a}, nil},
		{"SNI and ALPN only", "ts3d0102dt_" + shortHash("002f") + "_000000000000", 0x0300, []uint16{0x2f}, []testExtension{{0, nil}, {16, alpn("dot")}}},
		{"many suites", "t11i990000_" + shortHash(hexList(many)) + "_000000000000", 0x0302, many, nil},
	} {
		if h, _ := parseClientHello(buildClientHello(tt.version, tt.suites, tt.extensions), true); h.JA4 != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, h.JA4, tt.want)
		}
	}
	for name, want := range map[string]string{
		"": "00", "x": "xx", "h2": "h2", "http/1.1": "h1", "\xab": "ab", "\xab\xcd": "ad", "0\xab": "3b",
		"01\xab\xcd": "3d", "0\xab\xcd1": "01", " ": "20", "a ": "60", "\x0a\x0a": "00",
	} {
		h, _ := parseClientHello(buildClientHello(0x0303, []uint16{0x2f}, []testExtension{{16, alpn(name)}}), true)
		if got := h.JA4[8:10]; got != want {
			t.Errorf("ALPN %q: %s, want %s", name, got, want)
		}
	}
}

func shortHash(s string) string { return string(appendShortHash(nil, []byte(s))) }

func hexList(values []uint16) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, hex.EncodeToString([]byte{byte(v >> 8), byte(v)}))
	}
	return strings.Join(parts, ",")
}

// tsharkHello is a hello that lies in one segment, as tshark sees it.
type tsharkHello struct {
	file, stream, ja3, ja3s string
	payload                 []byte
}

// tsharkHellos reads the hellos of a capture. It skips the test where tshark or
// the capture is missing.
func tsharkHellos(t *testing.T, file string) []tsharkHello {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Skip("the shared captures are not here")
	}
	cmd := exec.Command("tshark", "-n", "-r", file, "-Y", "tcp and (tls.handshake.type == 1 or tls.handshake.type == 2)", "-T", "fields",
		"-e", "tcp.stream", "-e", "tcp.payload", "-e", "tls.handshake.ja3", "-e", "tls.handshake.ja3s")
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Skipf("cannot ask tshark: %v", err)
	}
	var hellos []tsharkHello
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		payload, err := hex.DecodeString(f[1])
		if err != nil || len(f) != 4 || strings.Contains(f[2]+f[3], ",") {
			continue
		}
		hellos = append(hellos, tsharkHello{file, f[0], f[2], f[3], payload})
	}
	return hellos
}

// wholeMessage returns the message that fills the beginning of the first record.
func wholeMessage(payload []byte) (typ HandshakeType, body []byte, ok bool) {
	s := cryptobyte.String(payload)
	var record, message cryptobyte.String
	var content, t uint8
	ok = s.ReadUint8(&content) && content == uint8(HandshakeRecord) && s.Skip(2) && s.ReadUint16LengthPrefixed(&record) &&
		record.ReadUint8(&t) && record.ReadUint24LengthPrefixed(&message)
	return HandshakeType(t), message, ok
}

func TestFingerprintsLikeTshark(t *testing.T) {
	compared := 0
	for _, file := range []string{
		"public/FoxIO-LLC+ja4/pcap/latest.pcapng", "public/FoxIO-LLC+ja4/pcap/badcurveball.pcap",
		"public/FoxIO-LLC+ja4/pcap/tls-handshake.pcapng", "public/FoxIO-LLC+ja4/pcap/tls-non-ascii-alpn.pcapng",
		"public/FoxIO-LLC+ja4/pcap/tls12.pcap", "matrix/br.pcap", "matrix/one.pcap", "matrix/res.pcap",
	} {
		for _, hello := range tsharkHellos(t, filepath.Join(captures, file)) {
			typ, body, ok := wholeMessage(hello.payload)
			if !ok {
				continue
			}
			var got, want string
			switch {
			case typ == TypeClientHello && hello.ja3 != "":
				h, _ := parseClientHello(body, true)
				got, want = h.JA3, hello.ja3
			case typ == TypeServerHello && hello.ja3s != "":
				h, _, _ := parseServerHello(body, true)
				got, want = h.JA3S, hello.ja3s
			default:
				continue
			}
			compared++
			if got != want {
				t.Errorf("%s, stream %s, %v: %s; tshark says %s", hello.file, hello.stream, typ, got, want)
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d hellos compared", compared)
	}
	t.Logf("%d hellos compared", compared)
}

// TestJA4Published compares with what the authors of JA4 publish for captures of
// theirs.
func TestJA4Published(t *testing.T) {
	for file, streams := range map[string]map[string]string{
		"latest.pcapng": {
			"1": "t13d1516h2_8daaf6152771_e5627efa2ab1", "3": "t12d190800_d83cc789557e_7af1ed941c26",
			"5": "t13d1516h2_8daaf6152771_9b887d9acb53",
		},
		"badcurveball.pcap": {"0": "t13d1615h2_46e7e9700bed_45f260be83e2"},
		"tls-handshake.pcapng": {
			"0": "t13d1516h2_8daaf6152771_e5627efa2ab1", "5": "t13d1516h1_8daaf6152771_e5627efa2ab1",
			"6": "t13d151400_8daaf6152771_de4a06bb82e3", "31": "t13d1517h1_8daaf6152771_6cdcb247c39b",
		},
		// The published value has 99 for the ALPN, from before the description
		// told to take the hexadecimal digits.
		"tls-non-ascii-alpn.pcapng": {"0": "t13d1516bd_8daaf6152771_e5627efa2ab1"},
	} {
		t.Run(file, func(t *testing.T) {
			found := make(map[string]string)
			for _, hello := range tsharkHellos(t, filepath.Join(captures, "public/FoxIO-LLC+ja4/pcap", file)) {
				if typ, body, ok := wholeMessage(hello.payload); ok && typ == TypeClientHello {
					h, _ := parseClientHello(body, true)
					found[hello.stream] = h.JA4
				}
			}
			for stream, want := range streams {
				if found[stream] != want {
					t.Errorf("stream %s: %s, want %s", stream, found[stream], want)
				}
			}
		})
	}
}
