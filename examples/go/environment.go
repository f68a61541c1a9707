// Package suite helps Go tests to use an envkit environment: it reads exported variables, and waits with a deadline.
package suite

import (
	"fmt"
	"os"
	"time"
)

// Failer has the methods of testing.TB that this package uses.
type Failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Variable returns an exported variable. A missing one fails the test: a default could name another service.
func Variable(t Failer, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("the variable %s is not set: start the suite with `envkit run -- go test -count=1 ./...`, "+
			"or set it with `eval \"$(envkit env)\"`", name)
	}
	return value
}

// Eventually calls check until it returns nil. After the deadline it fails the test with the last error.
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

// Expect returns an error if the two values differ.
func Expect[T comparable](what string, want, got T) error {
	if want == got {
		return nil
	}
	return fmt.Errorf("%s: expected %v, found %v", what, want, got)
}
