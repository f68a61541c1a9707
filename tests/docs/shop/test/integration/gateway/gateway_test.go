package gateway

import (
	"net"
	"os"
	"testing"
	"time"
)

func TestRedisIsThere(t *testing.T) {
	connection, err := net.DialTimeout("tcp", os.Getenv("REDIS_ADDR"), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	connection.Close()
}
