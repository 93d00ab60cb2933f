"""Ray and its proxy as we start them."""
