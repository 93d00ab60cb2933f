"""The RoomWorker: chat and descriptions in, texts to the encoder, room states out."""
