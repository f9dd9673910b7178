// Package lab runs real TLS servers and clients in network namespaces and
// captures what passes between them, so that tests know the truth about every
// connection by construction. It is imported by tests only, and does its work
// on Linux only.
//
// The tools are those of packages.txt. The tests skip unless the environment
// asks for them:
//
//	WHOASKED_LAB=run          run; where a tool is missing, or the test may not
//	                          create namespaces, skip
//	WHOASKED_LAB=require      run; there, fail
//	WHOASKED_LAB_CIPHERS=all  every cell of the matrix with every cipher
//	WHOASKED_LAB_KEEP=DIR     keep captures, truth and key logs in DIR
package lab
