package parse

import (
	"crypto/tls"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestCipherSuiteNames(t *testing.T) {
	seen := make(map[string]CipherSuite)
	for c := range 1 << 16 {
		c := CipherSuite(c)
		name := c.name()
		if name == "" {
			continue
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%#04x and %#04x are both %s", uint16(c), uint16(other), name)
		}
		seen[name] = c
	}
	if len(seen) != 359 {
		t.Errorf("%d names", len(seen))
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if got := CipherSuite(s.ID).String(); got != s.Name {
			t.Errorf("%#04x is %s; Go says %s", s.ID, got, s.Name)
		}
	}
	for c, want := range map[CipherSuite]string{
		0x0000: "TLS_NULL_WITH_NULL_NULL", 0x00ff: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV", 0x5600: "TLS_FALLBACK_SCSV",
		0x1307: "TLS_AEGIS_128L_SHA256", 0xc0b5: "TLS_SHA384_SHA384", 0xd005: "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256",
		0x0a0a: "0x0a0a", 0x001c: "0x001c", 0xffff: "0xffff",
	} {
		if got := c.String(); got != want {
			t.Errorf("%#04x is %s, want %s", uint16(c), got, want)
		}
	}
}

// TestCipherSuiteNamesElsewhere compares with the tables of installed tools.
func TestCipherSuiteNamesElsewhere(t *testing.T) {
	for _, tt := range []struct {
		command []string
		row     *regexp.Regexp // number in one or two groups, then the name
	}{
		{[]string{"openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL"}, regexp.MustCompile(`0x(\w\w),0x(\w\w) - (TLS_\w+)`)},
		{[]string{"tshark", "-G", "values"}, regexp.MustCompile(`(?m)^V\ttls\.handshake\.ciphersuite\t()(\d+)\t(TLS_\w+)$`)},
	} {
		t.Run(tt.command[0], func(t *testing.T) {
			out, err := exec.Command(tt.command[0], tt.command[1:]...).Output()
			if err != nil {
				t.Skipf("cannot ask %s: %v", tt.command[0], err)
			}
			rows := tt.row.FindAllStringSubmatch(string(out), -1)
			if len(rows) < 30 {
				t.Fatalf("only %d names read", len(rows))
			}
			for _, row := range rows {
				base := 10
				if row[1] != "" {
					base = 16
				}
				n, err := strconv.ParseUint(row[1]+row[2], base, 16)
				if err != nil {
					t.Fatal(err)
				}
				if got := CipherSuite(n).name(); got != row[3] && (got != "" || assigned(n)) {
					t.Errorf("%#04x is %q; %s says %s", n, got, tt.command[0], row[3])
				}
			}
		})
	}
}

// assigned leaves out numbers that tools name though IANA does not: old GOST
// suites, EC-JPAKE, ChaCha20 and Salsa20 of early drafts.
func assigned(n uint64) bool {
	return !(n >= 0x80 && n <= 0x83 || n == 0xc0ff || n >= 0xcc13 && n <= 0xcc15 || n >= 0xe410 && n <= 0xe41f)
}

func TestHashAndTagLen(t *testing.T) {
	for c := range 1 << 16 {
		c := CipherSuite(c)
		hash, hashOK := c.HashLen()
		tag, tagOK := c.TagLen()
		wantHash, wantTag := 0, 0
		switch name := c.String(); name {
		case "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_SM4_GCM_SM3", "TLS_SM4_CCM_SM3":
			wantHash, wantTag = 32, 16
		case "TLS_AES_256_GCM_SHA384":
			wantHash, wantTag = 48, 16
		case "TLS_AES_128_CCM_8_SHA256":
			wantHash, wantTag = 32, 8
		}
		if hash != wantHash || tag != wantTag || hashOK != (wantHash > 0) || tagOK != (wantTag > 0) {
			t.Errorf("%v: hash %d %v, tag %d %v", c, hash, hashOK, tag, tagOK)
		}
	}
}

func TestProtection(t *testing.T) {
	for name, want := range map[string]Protection{
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":       ProtectGCM,
		"TLS_RSA_WITH_CAMELLIA_256_GCM_SHA384":        ProtectGCM,
		"TLS_RSA_WITH_AES_128_CCM":                    ProtectCCM,
		"TLS_ECCPWD_WITH_AES_128_CCM_SHA256":          ProtectCCM,
		"TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8":          ProtectCCM8,
		"TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256":     ProtectCCM8,
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": ProtectChaCha20,
		"TLS_RSA_WITH_AES_128_CBC_SHA":                ProtectAESCBCSHA1,
		"TLS_RSA_WITH_SEED_CBC_SHA":                   ProtectAESCBCSHA1,
		"TLS_RSA_WITH_CAMELLIA_128_CBC_SHA":           ProtectAESCBCSHA1,
		"TLS_RSA_WITH_AES_128_CBC_SHA256":             ProtectAESCBCSHA256,
		"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384":       ProtectAESCBCSHA384,
		"TLS_RSA_WITH_ARIA_256_CBC_SHA384":            ProtectAESCBCSHA384,
		"TLS_RSA_WITH_3DES_EDE_CBC_SHA":               Protect3DESCBCSHA1,
		"TLS_RSA_WITH_DES_CBC_SHA":                    Protect3DESCBCSHA1,
		"TLS_RSA_EXPORT_WITH_DES40_CBC_SHA":           Protect3DESCBCSHA1,
		"TLS_KRB5_EXPORT_WITH_DES_CBC_40_SHA":         Protect3DESCBCSHA1,
		"TLS_KRB5_EXPORT_WITH_RC2_CBC_40_SHA":         Protect3DESCBCSHA1,
		"TLS_RSA_WITH_IDEA_CBC_SHA":                   Protect3DESCBCSHA1,
		"TLS_RSA_WITH_RC4_128_SHA":                    ProtectStreamSHA1,
		"TLS_ECDHE_RSA_WITH_NULL_SHA":                 ProtectStreamSHA1,
		"TLS_RSA_WITH_RC4_128_MD5":                    ProtectStreamMD5,
		"TLS_RSA_WITH_NULL_MD5":                       ProtectStreamMD5,
		"TLS_RSA_WITH_NULL_SHA256":                    ProtectUnknown,
		"TLS_KRB5_WITH_DES_CBC_MD5":                   ProtectUnknown,
		"TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5":          ProtectUnknown,
		"TLS_NULL_WITH_NULL_NULL":                     ProtectUnknown,
		"TLS_AES_128_GCM_SHA256":                      ProtectUnknown,
		"TLS_SM4_GCM_SM3":                             ProtectUnknown,
		"TLS_GOSTR341112_256_WITH_MAGMA_MGM_L":        ProtectUnknown,
	} {
		found := false
		for c := range 1 << 16 {
			if c := CipherSuite(c); c.name() == name {
				found = true
				if got := c.Protection(); got != want {
					t.Errorf("%s: %d, want %d", name, got, want)
				}
			}
		}
		if !found {
			t.Errorf("%s is not in the table", name)
		}
	}
	for c := range 1 << 16 {
		if c := CipherSuite(c); strings.Contains(c.name(), "_WITH_AES_") && c.Protection() == ProtectUnknown {
			t.Errorf("%v is not classified", c)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		AlertName(0):                     "close_notify",
		AlertName(116):                   "certificate_required",
		AlertName(121):                   "ech_required",
		AlertName(99):                    "unknown",
		AlertName(255):                   "unknown",
		ClientCertificateTypeName(1):     "rsa_sign",
		ClientCertificateTypeName(64):    "ecdsa_sign",
		ClientCertificateTypeName(7):     "7",
		SignatureSchemeName(0x0804):      "rsa_pss_rsae_sha256",
		SignatureSchemeName(0x0807):      "ed25519",
		SignatureSchemeName(0x080b):      "rsa_pss_pss_sha512",
		SignatureSchemeName(0x080c):      "0x080c",
		SignatureSchemeName(0x0403):      "ecdsa_secp256r1_sha256",
		SignatureSchemeName(0x0402):      "dsa_sha256",
		SignatureSchemeName(0x0301):      "rsa_sha224",
		SignatureSchemeName(0x0101):      "rsa_md5",
		SignatureSchemeName(0x0100):      "0x0100",
		SignatureSchemeName(0x0905):      "mldsa65",
		TypeCertificateRequest.String():  "certificate_request",
		TypeHelloRequest.String():        "hello_request",
		HandshakeType(99).String():       "99",
		TypeCompressedCert.String():      "compressed_certificate",
		TypeEncryptedExtensions.String(): "encrypted_extensions",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
