// Package corpus holds the tests that run the whole line, from packets to
// verdicts, over captures whose truth is known: those the tests make themselves
// and, where they are there, a collection beside the project (../shared/captures
// from the project's root). It has no code of its own.
package corpus
