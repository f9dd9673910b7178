package capture

import (
	"os"
	"testing"
)

// What gopacket opens is tested without the tables that the program does without.
func TestMain(m *testing.M) {
	ForgetNames()
	os.Exit(m.Run())
}
