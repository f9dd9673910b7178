// Package lab runs real TLS servers and clients in network namespaces and
// captures what passes between them, so that tests know the truth about every
// connection by construction. It is imported by tests only, and does its work
// on Linux only.
//
// The tools are those of packages.txt. Where one is missing, or the test may
// not create namespaces, tests skip. The environment changes that and more:
//
//	WHOASKED_LAB=require      fail instead of skip
//	WHOASKED_LAB_CIPHERS=all  every cell of the matrix with every cipher
//	WHOASKED_LAB_KEEP=DIR     keep captures, truth and key logs in DIR
package lab
