// Package suite is what a Go suite needs to use an environment of envkit's: its exported variables, and patience.
package suite

import (
	"fmt"
	"os"
	"time"
)

// Failer is what is used of testing.TB.
type Failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Variable is an exported variable; one that is missing ends the test and is named: a guessed address tests something else.
func Variable(t Failer, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("the variable %s is not set: start the suite with `envkit run -- go test -count=1 ./...`, "+
			"or set it with `eval \"$(envkit env)\"`", name)
	}
	return value
}

// Eventually calls check until it returns nil; after the deadline the test fails with the last reason.
func Eventually(t Failer, what string, within time.Duration, check func() error) {
	t.Helper()
	deadline, pause := time.Now().Add(within), 20*time.Millisecond
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s; last seen: %v", what, within, err)
			return
		}
		time.Sleep(pause)
		if pause *= 2; pause > 250*time.Millisecond {
			pause = 250 * time.Millisecond
		}
	}
}

// Expect is an error when the two differ.
func Expect[T comparable](what string, want, got T) error {
	if want == got {
		return nil
	}
	return fmt.Errorf("%s: expected %v, found %v", what, want, got)
}
