package parse

// CipherSuite is a cipher suite as on the wire (IANA TLS Cipher Suites).
type CipherSuite uint16
